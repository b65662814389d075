// The daemon's log: one line an event to stderr, in the form that its reader wants.
#pragma once

#include <spdlog/formatter.h>

#include <memory>

#include "daemon/config.h"

namespace residency {

// Whether stderr goes to systemd's journal, which adds time and process itself.
bool LogGoesToJournal();

// "<6>text" for the journal, which reads the priority from it; else time, level and text.
std::unique_ptr<spdlog::formatter> MakeLogFormatter(bool for_journal);

// Makes spdlog's default logger write to stderr so. Call once, before any thread is started.
void SetUpLogging(LogLevel level);

// Of the default logger; thread-safe.
void SetLogLevel(LogLevel level);

}  // namespace residency
