# The Debian packages, made by scripts/package: residencyd (daemon, residencyctl and deploy/) and
# residency-dev (what an engine is built with).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "residencyd")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")  # each package has its own
set(CPACK_PACKAGE_CONTACT "residencyd maintainers <maintainers@localhost>" CACHE STRING
  "Name and address of who answers for the packages")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}/packages")
set(CPACK_COMPONENTS_ALL daemon client)
set(CPACK_STRIP_FILES ON)
# After the files are laid out: what Debian wants of each package beside them.
set(CPACK_PRE_BUILD_SCRIPTS "${CMAKE_CURRENT_LIST_DIR}/DebianDocs.cmake")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "" CACHE STRING "Debian revision, for a package built again")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(scripts "${PROJECT_SOURCE_DIR}/deploy/debian")
set(CPACK_DEBIAN_DAEMON_PACKAGE_NAME residencyd)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_DAEMON_PACKAGE_SHLIBDEPS ON)
# sysusers and tmpfiles make the user and its directories, with or without a running systemd.
set(CPACK_DEBIAN_DAEMON_PACKAGE_DEPENDS
  "systemd | systemd-standalone-sysusers, systemd | systemd-standalone-tmpfiles")
set(CPACK_DEBIAN_DAEMON_PACKAGE_SUGGESTS "prometheus, bash-completion")
set(CPACK_DEBIAN_DAEMON_PACKAGE_CONTROL_EXTRA "${scripts}/conffiles" "${scripts}/postinst"
  "${scripts}/prerm" "${scripts}/postrm")
set(CPACK_COMPONENT_DAEMON_DESCRIPTION "weight residency daemon for LLM inference nodes
residencyd owns the HBM, DRAM and NVMe of an inference node and decides, all
the time, which block of weights lives where. Serving engines lease blocks
from it instead of loading checkpoints themselves.
.
 With it come residencyctl, a hardened systemd service, alerts for Prometheus
and a dashboard for Grafana.")

set(CPACK_DEBIAN_CLIENT_PACKAGE_NAME residency-dev)
set(CPACK_DEBIAN_CLIENT_PACKAGE_SECTION libdevel)
# What the CMake package looks for: static libraries name no dependencies of their own.
set(CPACK_DEBIAN_CLIENT_PACKAGE_DEPENDS
  "libgrpc++-dev, libprotobuf-dev, protobuf-compiler, protobuf-compiler-grpc, libabsl-dev")
set(CPACK_DEBIAN_CLIENT_PACKAGE_RECOMMENDS "cmake, g++")
set(CPACK_DEBIAN_CLIENT_PACKAGE_SUGGESTS "residencyd")
set(CPACK_COMPONENT_CLIENT_DESCRIPTION "weight residency daemon, library for engines
Headers, static library and CMake package of the client with which a serving
engine attaches checkpoints to residencyd and leases their blocks, and an
example engine.")

include(CPack)
