# Turns the commented configuration with every key into the KEYS of residencyd.toml(5): a subsection
# a table, an item a key with its default, comments as their text. The file's own head is left out.
# A comment that speaks of several keys stands with the first of them.
function escaped(line) {
  gsub(/\\/, "\\e", line)
  gsub(/"/, "\\(dq", line)
  if (line ~ /^[.']/) line = "\\&" line
  return line
}
function end_list() {
  if (in_list) print ".El"
  in_list = 0
}
# A new sentence begins a new line, as manual pages want it.
function flush_comment() {
  gsub(/\. /, ".\n", comment)
  if (comment != "") print comment
  comment = ""
}

/^\[/ {
  end_list()
  print ".Ss " escaped($1)
  flush_comment()
  started = 1
  next
}
/^#/ {
  sub(/^# ?/, "")
  if ($0 != "") comment = comment (comment == "" ? "" : " ") escaped($0)
  next
}
/^[a-z]/ && started {
  if (!in_list) print ".Bl -tag -width Ds"
  in_list = 1
  print ".It Cm " escaped($0)
  flush_comment()
  next
}
# What stands before the first table is the file's own head.
/^$/ { if (!started) comment = "" }
END { end_list() }
