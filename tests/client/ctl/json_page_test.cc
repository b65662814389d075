// The page on JSON and what is printed: neither may name a field that the other lacks.
#include <fstream>
#include <map>
#include <set>

#include "client/ctl/render_live.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "nlohmann/json.hpp"
#include "tests/client/ctl/fake_operator.h"

namespace residency::ctl {
namespace {

using Json = nlohmann::json;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Fields = std::set<std::string>;

// By heading, the fields in the tables below it.
std::map<std::string, Fields> Documented() {
  std::ifstream page(RESIDENCY_SOURCE_DIR "/client/ctl/JSON.md");
  std::map<std::string, Fields> documented;
  std::string heading;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("### ")) {
      heading = line.substr(4);
      documented[heading];
    } else if (line.starts_with("## ")) {
      heading.clear();
    } else if (!heading.empty() && line.starts_with("| `")) {
      documented[heading].insert(line.substr(3, line.find('`', 3) - 3));
    }
  }
  return documented;
}

Fields Keys(const Json& object) {
  Fields keys;
  for (const auto& [key, value] : object.items()) keys.insert(key);
  return keys;
}

void Collect(const Descriptor& message, std::map<std::string, Fields>& messages) {
  if (messages.contains(message.name())) return;
  Fields& fields = messages[message.name()];
  for (int i = 0; i < message.field_count(); ++i) fields.insert(message.field(i)->name());
  for (int i = 0; i < message.field_count(); ++i) {
    if (message.field(i)->message_type() != nullptr) {
      Collect(*message.field(i)->message_type(), messages);
    }
  }
}

// What every command that prints a message prints, and what that holds.
std::map<std::string, Fields> Printed() {
  std::map<std::string, Fields> messages;
  const auto* service = google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(
      "residency.v1.OperatorService");
  for (int i = 0; i < service->method_count(); ++i) {
    // `top` shows these in a document of its own.
    if (service->method(i)->name() == "ListMisses") continue;
    Collect(*service->method(i)->output_type(), messages);
  }
  return messages;
}

TEST(JsonPageTest, EveryMessageIsDocumentedFieldByField) {
  const std::map<std::string, Fields> documented = Documented();
  for (const auto& [name, fields] : Printed()) {
    ASSERT_TRUE(documented.contains(name)) << name << " is not on the page";
    EXPECT_EQ(documented.at(name), fields) << name;
  }
}

TEST(JsonPageTest, NothingElseIsDocumented) {
  std::map<std::string, Fields> known = Printed();
  for (const char* own : {"health", "version", "top", "top veto", "top block", "top session",
                          "iostat", "iostat link", "iostat class"}) {
    known[own];
  }
  for (const auto& [name, fields] : Documented()) EXPECT_TRUE(known.contains(name)) << name;
}

class JsonPrintedTest : public testing::Test {
 protected:
  JsonPrintedTest() {
    v1::LinkStatus& link = *daemon_.status.add_links();
    link.add_classes()->set_name("demand");
    v1::VetoCount& veto = *daemon_.status.mutable_counters()->add_vetoes();
    veto.set_reason("no_room");
    veto.set_count(1);
    daemon_.misses.add_blocks();
    daemon_.sessions.add_sessions();
  }
  Json Run(const std::string& command) {
    const Outcome outcome =
        RunWith({command, "-n", "1", "-o", "json", "--socket", daemon_.socket()});
    return Json::parse(outcome.out);
  }
  Json RunPlain(const std::string& command) {
    return Json::parse(RunWith({command, "-o", "json", "--socket", daemon_.socket()}).out);
  }
  FakeOperator daemon_;
};

TEST_F(JsonPrintedTest, TheDocumentsOfTheirOwnAreAsDocumented) {
  const std::map<std::string, Fields> page = Documented();
  EXPECT_EQ(Keys(RunPlain("health")), page.at("health"));
  EXPECT_EQ(Keys(RunPlain("version")), page.at("version"));
  const Json top = Run("top");
  EXPECT_EQ(Keys(top), page.at("top"));
  EXPECT_EQ(Keys(top["vetoes"][0]), page.at("top veto"));
  EXPECT_EQ(Keys(top["blocks"][0]), page.at("top block"));
  EXPECT_EQ(Keys(top["sessions"][0]), page.at("top session"));
  const Json iostat = RunPlain("iostat");
  EXPECT_EQ(Keys(iostat), page.at("iostat"));
  EXPECT_EQ(Keys(iostat["links"][0]), page.at("iostat link"));
  EXPECT_EQ(Keys(iostat["links"][0]["classes"][0]), page.at("iostat class"));
}

// Defaults are printed; only what may be absent, messages and optional fields, is not.
TEST_F(JsonPrintedTest, AMessageHasAllItsFieldsButThoseThatMayBeAbsent) {
  daemon_.blocks.emplace_back();
  const Json block = RunPlain("blocks")["blocks"][0];
  const Descriptor& message = *v1::BlockInfo::descriptor();
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    EXPECT_EQ(block.contains(field.name()), !field.has_presence()) << field.name();
  }
}

}  // namespace
}  // namespace residency::ctl
