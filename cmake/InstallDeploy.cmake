# What an operator installs besides the programs: unit, user, configuration, monitoring, manual
# pages, completions. All of it is component "daemon".
#
# Paths are filled in when it is installed, since `cmake --install --prefix` and CPack choose the
# prefix then: in /usr the configuration is /etc/residencyd, elsewhere PREFIX/etc/residencyd.
set(RESIDENCY_DEPLOY_DIR "${PROJECT_SOURCE_DIR}/deploy")
set(RESIDENCY_FULL_CONFIG "${PROJECT_SOURCE_DIR}/config/residencyd.toml")
foreach(name IN ITEMS RESIDENCY_DEPLOY_DIR RESIDENCY_FULL_CONFIG PROJECT_VERSION
    CMAKE_INSTALL_BINDIR CMAKE_INSTALL_MANDIR CMAKE_INSTALL_SYSCONFDIR)
  install(CODE "set(${name} \"${${name}}\")" COMPONENT daemon)
endforeach()
install(CODE "set(WORK_DIR \"${PROJECT_BINARY_DIR}/deploy\")" COMPONENT daemon)
install(SCRIPT "${CMAKE_CURRENT_LIST_DIR}/InstallDeployFilled.cmake" COMPONENT daemon)

set(RESIDENCY_SHARE_DIR "${CMAKE_INSTALL_DATADIR}/residencyd")
install(FILES "${RESIDENCY_DEPLOY_DIR}/systemd/residencyd.sysusers"
  DESTINATION lib/sysusers.d RENAME residencyd.conf COMPONENT daemon)
install(FILES "${RESIDENCY_DEPLOY_DIR}/systemd/residencyd.tmpfiles"
  DESTINATION lib/tmpfiles.d RENAME residencyd.conf COMPONENT daemon)
install(FILES "${RESIDENCY_DEPLOY_DIR}/prometheus/prometheus.yml"
  "${RESIDENCY_DEPLOY_DIR}/prometheus/residencyd.rules.yml"
  DESTINATION "${RESIDENCY_SHARE_DIR}/prometheus" COMPONENT daemon)
install(FILES "${RESIDENCY_DEPLOY_DIR}/grafana/residencyd.json"
  DESTINATION "${RESIDENCY_SHARE_DIR}/grafana" COMPONENT daemon)
install(FILES "${RESIDENCY_FULL_CONFIG}" DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/residencyd"
  RENAME residencyd.toml.full COMPONENT daemon)

install(FILES "${RESIDENCY_DEPLOY_DIR}/completions/residencyctl.bash"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions"
  RENAME residencyctl COMPONENT daemon)
install(FILES "${RESIDENCY_DEPLOY_DIR}/completions/residencyctl.fish"
  DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d" COMPONENT daemon)
