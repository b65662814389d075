// How a message is to be shown.
#pragma once

#include <cstddef>

#include "client/ctl/style.h"

namespace residency::ctl {

// What a renderer needs to know about where its text goes.
struct View {
  bool wide = false;    // More columns, sizes in bytes.
  bool headers = true;  // Table heads.
  size_t width = 0;     // Columns of the terminal; 0 where nothing may be cut.
  size_t indent = 0;    // Spaces before each line of a table.
  Style style;

  // A terminal on which tables leave out what matters least.
  bool narrow() const { return width > 0 && width < 100; }
};

}  // namespace residency::ctl
