#include "client/ctl/cli.h"

int main(int argc, char** argv) {
  return residency::ctl::RunCtl(argc, argv, residency::ctl::ProcessEnvironment());
}
