# Runs while installing: fills in the files that name paths, and puts them where the prefix says.
# Given: RESIDENCY_DEPLOY_DIR, RESIDENCY_FULL_CONFIG, WORK_DIR (scratch), PROJECT_VERSION and GNU's
# directories.
function(absolute out directory)
  if(NOT IS_ABSOLUTE "${directory}")
    set(directory "${CMAKE_INSTALL_PREFIX}/${directory}")
  endif()
  set(${out} "${directory}" PARENT_SCOPE)
endfunction()

absolute(BINDIR "${CMAKE_INSTALL_BINDIR}")
absolute(MANDIR "${CMAKE_INSTALL_MANDIR}")
absolute(SYSCONFDIR "${CMAKE_INSTALL_SYSCONFDIR}")
set(ZSH_DIR "${CMAKE_INSTALL_PREFIX}/share/zsh/site-functions")
if(CMAKE_INSTALL_PREFIX STREQUAL "/usr")  # as GNUInstallDirs has it; and as Debian's zsh looks
  set(SYSCONFDIR "/etc")
  set(ZSH_DIR "/usr/share/zsh/vendor-completions")
endif()
set(CONFIG_DIR "${SYSCONFDIR}/residencyd")

configure_file("${RESIDENCY_DEPLOY_DIR}/systemd/residencyd.service.in"
  "${WORK_DIR}/residencyd.service" @ONLY)
file(INSTALL "${WORK_DIR}/residencyd.service"
  DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/systemd/system")

# An operator's configuration is never overwritten.
if(NOT EXISTS "$ENV{DESTDIR}${CONFIG_DIR}/residencyd.toml")
  file(INSTALL "${RESIDENCY_DEPLOY_DIR}/residencyd.toml" DESTINATION "${CONFIG_DIR}")
endif()

file(INSTALL "${RESIDENCY_DEPLOY_DIR}/completions/_residencyctl" DESTINATION "${ZSH_DIR}")

include("${CMAKE_CURRENT_LIST_DIR}/ManualPages.cmake")
fill_manual_pages("${WORK_DIR}")
foreach(page IN ITEMS residencyctl.1 residencyd.toml.5 residencyd.8)
  string(REGEX REPLACE ".*\\." "" section "${page}")
  file(INSTALL "${WORK_DIR}/${page}" DESTINATION "${MANDIR}/man${section}")
endforeach()
