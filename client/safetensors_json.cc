#include "client/safetensors_json.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace residency {
namespace {

using Json = nlohmann::json;

// Builds the value and stops at the first thing that is wrong.
class StrictBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(nullptr); }
  bool boolean(bool value) override { return Put(value); }
  bool number_integer(number_integer_t value) override { return Put(value); }
  bool number_unsigned(number_unsigned_t value) override { return Put(value); }
  bool number_float(number_float_t value, const string_t&) override { return Put(value); }
  bool string(string_t& value) override { return Put(std::move(value)); }
  bool binary(binary_t&) override { return Fail("holds binary data, which JSON text cannot"); }

  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    if (open_.back()->contains(name)) {
      return Fail(absl::StrCat("the name ", QuotedForMessage(name),
                               " is given twice; every name may be used once"));
    }
    key_ = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The reason quotes what was read last, which may be as long as the file.
    return Fail(absl::StrCat("is not valid UTF-8 JSON at byte ", position,
                             " of it: ", QuotedForMessage(error.what())));
  }

  const std::string& error() const { return error_; }
  Json&& TakeRoot() { return std::move(root_); }

 private:
  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  // Where the new value now lives, or null if there are too many.
  Json* Place(Json value) {
    if (++values_ > kMaxJsonValues) return nullptr;
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    return &((*open_.back())[key_] = std::move(value));
  }

  bool Put(Json value) { return Place(std::move(value)) != nullptr || TooManyValues(); }

  bool TooManyValues() {
    return Fail(absl::StrCat("holds more than ", kMaxJsonValues, " values, which is the limit"));
  }

  bool Open(Json value) {
    if (open_.size() == kMaxJsonDepth) {
      return Fail(absl::StrCat("is nested more than ", kMaxJsonDepth, " deep"));
    }
    Json* placed = Place(std::move(value));
    if (placed == nullptr) return TooManyValues();
    open_.push_back(placed);
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  // Enclosing containers, outermost first. A container is not touched while one inside it is open,
  // so the pointers stay valid.
  std::vector<Json*> open_;
  std::string key_;
  size_t values_ = 0;
  std::string error_;
};

}  // namespace

absl::StatusOr<Json> ParseStrictJson(const std::string& file, const std::string& text) {
  // The parser below takes a NUL byte for the end of the text and would ignore what follows.
  if (const size_t nul = text.find('\0'); nul != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat(
        file, ": the JSON is not valid UTF-8 JSON at byte ", nul, " of it: a NUL byte"));
  }
  StrictBuilder builder;
  if (!Json::sax_parse(text, &builder)) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": the JSON ", builder.error()));
  }
  return builder.TakeRoot();
}

std::string QuotedForMessage(const std::string& name) {
  constexpr size_t kMaxShownBytes = 200;
  const bool cut = name.size() > kMaxShownBytes;
  return absl::StrCat("'", absl::CHexEscape(name.substr(0, kMaxShownBytes)), cut ? "...'" : "'");
}

bool IsUtf8(const std::string& text) {
  // The two ways of writing what is not UTF-8 differ exactly if there is any.
  const Json json(text);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) ==
         json.dump(-1, ' ', false, Json::error_handler_t::ignore);
}

}  // namespace residency
