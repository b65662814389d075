# Fills in the manual pages: version, date, directory of the configuration, and the keys of
# residencyd.toml(5), which come from the configuration that has them all. Also a script of its own:
#   cmake -DRESIDENCY_DEPLOY_DIR=... -DRESIDENCY_FULL_CONFIG=... -DPROJECT_VERSION=... -DOUT=...
#     -P ManualPages.cmake
function(fill_manual_pages out)
  if(NOT CONFIG_DIR)
    set(CONFIG_DIR "/etc/residencyd")
  endif()
  execute_process(COMMAND awk -f "${RESIDENCY_DEPLOY_DIR}/man/keys.awk" "${RESIDENCY_FULL_CONFIG}"
    OUTPUT_VARIABLE KEYS OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  string(TIMESTAMP DATE "%B %d, %Y" UTC)  # of SOURCE_DATE_EPOCH where that is set
  file(MAKE_DIRECTORY "${out}")
  foreach(page IN ITEMS residencyctl.1 residencyd.toml.5 residencyd.8)
    configure_file("${RESIDENCY_DEPLOY_DIR}/man/${page}" "${out}/${page}" @ONLY)
  endforeach()
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  fill_manual_pages("${OUT}")
endif()
