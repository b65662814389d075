// Writes small GGUF files for tests: well formed unless the test says otherwise.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace residency::client_test {

inline std::string Little(uint64_t value, int bytes) {
  std::string out;
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}
inline std::string GgufText(std::string_view text) {
  return Little(text.size(), 8) + std::string(text);
}

struct GgufTestTensor {
  std::string name;
  std::vector<uint64_t> shape;
  uint32_t type = 0;    // 0: F32
  uint64_t offset = 0;  // from the start of the data
};

// A file's parts, to be changed before it is encoded.
struct GgufTestFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> metadata;  // encoded entries
  std::vector<GgufTestTensor> tensors;
  int64_t more_tensors = 0;  // claimed beyond those there are
  int64_t more_metadata = 0;
  uint64_t alignment = 32;  // where the data begins; the file does not say so by itself
  uint64_t data_bytes = 0;

  void AddU32(std::string_view key, uint32_t value) {
    metadata.push_back(GgufText(key) + Little(4, 4) + Little(value, 4));
  }
  void AddU16(std::string_view key, uint16_t value) {
    metadata.push_back(GgufText(key) + Little(2, 4) + Little(value, 2));
  }
  void AddText(std::string_view key, std::string_view value) {
    metadata.push_back(GgufText(key) + Little(8, 4) + GgufText(value));
  }
  // `value` is encoded already.
  void Add(std::string_view key, uint32_t type, const std::string& value) {
    metadata.push_back(GgufText(key) + Little(type, 4) + value);
  }

  std::string Header() const {
    std::string out = magic + Little(version, 4);
    out += Little(tensors.size() + static_cast<uint64_t>(more_tensors), 8);
    out += Little(metadata.size() + static_cast<uint64_t>(more_metadata), 8);
    for (const std::string& entry : metadata) out += entry;
    for (const GgufTestTensor& tensor : tensors) {
      out += GgufText(tensor.name) + Little(tensor.shape.size(), 4);
      for (uint64_t dimension : tensor.shape) out += Little(dimension, 8);
      out += Little(tensor.type, 4) + Little(tensor.offset, 8);
    }
    return out;
  }
  uint64_t DataStart() const { return (Header().size() + alignment - 1) / alignment * alignment; }
  // Byte i of the data is DataByte(i).
  std::string Encode() const {
    std::string out = Header();
    out.resize(DataStart(), '\0');
    for (uint64_t i = 0; i < data_bytes; ++i) out.push_back(static_cast<char>(DataByte(i)));
    return out;
  }
  static uint8_t DataByte(uint64_t i) { return static_cast<uint8_t>(i * 7 + (i >> 8)); }
};

}  // namespace residency::client_test
