#include "client/safetensors_header.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/safetensors_json.h"

namespace residency {
namespace {

using Json = nlohmann::json;

constexpr char kMetadataKey[] = "__metadata__";
constexpr size_t kMaxDimensions = 64;

// Says which file and tensor every message is about.
struct Context {
  const std::string& file;
  const std::string& tensor;

  absl::Status Invalid(const std::string& problem) const {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": tensor ", QuotedForMessage(tensor), ": ", problem));
  }
};

absl::StatusOr<std::vector<uint64_t>> UnsignedList(const Context& context, const Json& object,
                                                   const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return context.Invalid(absl::StrCat("has no '", key, "'"));
  if (!found->is_array()) {
    return context.Invalid(absl::StrCat("'", key, "' must be a list, found ", found->type_name()));
  }
  if (found->size() > kMaxDimensions) {
    return context.Invalid(absl::StrCat("'", key, "' has ", found->size(), " entries; at most ",
                                        kMaxDimensions, " are understood"));
  }
  std::vector<uint64_t> values;
  for (const Json& entry : *found) {
    // Negative numbers, fractions and integers above 64 bits all parse as another kind of number.
    if (!entry.is_number_unsigned()) {
      return context.Invalid(absl::StrCat("'", key, "' must hold integers from 0 to 2^64-1, found ",
                                          entry.is_number() ? entry.dump() : entry.type_name()));
    }
    values.push_back(entry.get<uint64_t>());
  }
  return values;
}

absl::StatusOr<Dtype> DtypeOf(const Context& context, const Json& object) {
  const auto found = object.find("dtype");
  if (found == object.end()) return context.Invalid("has no 'dtype'");
  if (!found->is_string()) {
    return context.Invalid(absl::StrCat("'dtype' must be text, found ", found->type_name()));
  }
  const auto& name = found->get_ref<const std::string&>();
  const std::optional<Dtype> dtype = DtypeFromName(name);
  if (!dtype) return context.Invalid(absl::StrCat("unknown dtype ", QuotedForMessage(name)));
  return *dtype;
}

absl::Status SetRange(const Context& context, const std::vector<uint64_t>& offsets,
                      uint64_t data_bytes, SafetensorsTensor* tensor) {
  if (offsets.size() != 2) {
    return context.Invalid(
        absl::StrCat("'data_offsets' must hold begin and end, found ", offsets.size(), " values"));
  }
  const uint64_t begin = offsets[0], end = offsets[1];
  if (begin > end) {
    return context.Invalid(absl::StrCat("data offsets are reversed: begin ", begin, ", end ", end));
  }
  if (end > data_bytes) {
    return context.Invalid(absl::StrCat("data ends at ", end, ", but the file holds ", data_bytes,
                                        " bytes of data: it is truncated or its header is wrong"));
  }
  const std::optional<uint64_t> needed = TensorBytes(tensor->dtype, tensor->shape);
  const std::string shape = absl::StrCat("[", absl::StrJoin(tensor->shape, ","), "]");
  if (!needed) return context.Invalid(absl::StrCat("the size of shape ", shape, " overflows"));
  if (*needed != end - begin) {
    return context.Invalid(absl::StrCat("shape ", shape, " of ", Name(tensor->dtype), " needs ",
                                        *needed, " bytes, but the offsets span ", end - begin));
  }
  tensor->offset = begin;
  tensor->bytes = end - begin;
  return absl::OkStatus();
}

absl::StatusOr<SafetensorsTensor> ParseTensor(const std::string& file, const std::string& name,
                                              const Json& object, uint64_t data_bytes) {
  const Context context{file, name};
  if (!object.is_object()) {
    return context.Invalid(absl::StrCat("must be an object, found ", object.type_name()));
  }
  SafetensorsTensor tensor;
  tensor.name = name;
  auto dtype = DtypeOf(context, object);
  if (!dtype.ok()) return dtype.status();
  tensor.dtype = *dtype;
  auto shape = UnsignedList(context, object, "shape");
  if (!shape.ok()) return shape.status();
  tensor.shape = *std::move(shape);
  auto offsets = UnsignedList(context, object, "data_offsets");
  if (!offsets.ok()) return offsets.status();
  // A field that we do not know may change what the bytes mean.
  for (const auto& [key, value] : object.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      return context.Invalid(absl::StrCat("unknown field ", QuotedForMessage(key)));
    }
  }
  if (auto status = SetRange(context, *offsets, data_bytes, &tensor); !status.ok()) return status;
  return tensor;
}

absl::Status ParseMetadata(const std::string& file, const Json& object,
                           std::map<std::string, std::string>* metadata) {
  if (!object.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": '", kMetadataKey, "' must be an object, found ", object.type_name()));
  }
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) {
      return absl::InvalidArgumentError(absl::StrCat(file, ": '", kMetadataKey, "' entry ",
                                                     QuotedForMessage(key), " must be text, found ",
                                                     value.type_name()));
    }
    metadata->emplace(key, value.get_ref<const std::string&>());
  }
  return absl::OkStatus();
}

// REQUIRES: sorted by offset, then end.
absl::Status CheckCoverage(const std::string& file, const std::vector<SafetensorsTensor>& tensors,
                           uint64_t data_bytes) {
  uint64_t covered = 0;
  const std::string* previous = nullptr;
  for (const SafetensorsTensor& tensor : tensors) {
    const Context context{file, tensor.name};
    if (tensor.offset < covered) {
      return context.Invalid(absl::StrCat("begins at ", tensor.offset, ", inside tensor ",
                                          QuotedForMessage(*previous), ", which ends at ",
                                          covered));
    }
    if (tensor.offset > covered) {
      return context.Invalid(absl::StrCat("begins at ", tensor.offset, ", but data up to ", covered,
                                          " only is covered: the hole belongs to no tensor"));
    }
    covered = tensor.offset + tensor.bytes;
    previous = &tensor.name;
  }
  if (covered != data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": the tensors", previous ? " up to " : "",
                     previous ? QuotedForMessage(*previous) : "", " cover ", covered, " of ",
                     data_bytes, " bytes of data: the rest belongs to no tensor"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SafetensorsHeader> ParseSafetensorsHeader(const std::string& file,
                                                         const std::string& json,
                                                         uint64_t data_bytes) {
  if (json.empty() || json[0] != '{') {
    return absl::InvalidArgumentError(
        absl::StrCat(file, ": the header does not begin with '{': not a safetensors file"));
  }
  auto root = ParseStrictJson(file, json);
  if (!root.ok()) return root.status();
  SafetensorsHeader header;
  for (const auto& [name, value] : root->items()) {
    if (name == kMetadataKey) {
      auto status = ParseMetadata(file, value, &header.metadata);
      if (!status.ok()) return status;
      continue;
    }
    auto tensor = ParseTensor(file, name, value, data_bytes);
    if (!tensor.ok()) return tensor.status();
    header.tensors.push_back(*std::move(tensor));
  }
  std::sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
  });
  auto status = CheckCoverage(file, header.tensors, data_bytes);
  if (!status.ok()) return status;
  return header;
}

}  // namespace residency
