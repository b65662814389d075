// Whether this machine can hold what the configuration asks for.
#pragma once

#include "daemon/config.h"
#include "daemon/config_host.h"
#include "daemon/config_reader.h"

namespace residency {

// Memory pools against the memory that is available, each disk's pools against its free space
// (an existing file counts as room already taken), groups against those the system knows.
void CheckCapacities(const Config& config, const HostFacts& host, ConfigProblems& problems);

}  // namespace residency
