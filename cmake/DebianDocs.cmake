# Runs within CPack, once the files of both packages are laid out: compressed manual pages,
# changelog, licence, and static libraries without what only a debugger reads.
file(GLOB packages "${CPACK_TEMPORARY_DIRECTORY}/*")
foreach(root IN LISTS packages)
  if(root MATCHES "/daemon$")
    set(name residencyd)
  else()
    set(name residency-dev)
  endif()
  set(doc "${root}/usr/share/doc/${name}")
  file(MAKE_DIRECTORY "${doc}")
  file(WRITE "${doc}/copyright"
    "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
    "Upstream-Name: residencyd\n\nFiles: *\nCopyright: 2026 The residencyd authors\nLicense: Apache-2.0\n"
    " On Debian systems the licence is in /usr/share/common-licenses/Apache-2.0.\n")
  string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)
  file(WRITE "${doc}/changelog"
    "residencyd (${CPACK_PACKAGE_VERSION}) stable; urgency=medium\n\n  * See the history of the "
    "source.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
  file(GLOB pages "${root}/usr/share/man/man*/*.[1-8]")
  execute_process(COMMAND gzip -9nf ${pages} "${doc}/changelog" COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB_RECURSE archives "${root}/usr/lib/*.a")
  if(archives)
    execute_process(COMMAND strip --strip-debug --enable-deterministic-archives ${archives}
      COMMAND_ERROR_IS_FATAL ANY)
  endif()
  file(CHMOD_RECURSE "${root}"
    FILE_PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ
    DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
      WORLD_EXECUTE)
  file(GLOB programs "${root}/usr/bin/*")
  foreach(program IN LISTS programs)
    file(CHMOD "${program}" PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
      GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  endforeach()
endforeach()
