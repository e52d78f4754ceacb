# Debian packages by CPack, of what has been built: assentd, assentctl, libassent-dev. tools/package.sh makes them.
#
# A component of the installation is a package. What a package alone has (the unit, the user, the settings, what Debian
# wants in /usr/share/doc) is left out of a plain `cmake --install`.

set(packaging ${PROJECT_SOURCE_DIR}/tools/packaging)

include(${packaging}/contact.cmake)

# The pages and scripts that a program prints of itself are made when it is installed.
#   assent_install_said(COMPONENT PATH PROGRAM ARGUMENTS...)   .gz: compressed
function(assent_install_said component path program)
  string(JOIN "\" \"" arguments ${ARGN})
  if(path MATCHES "\\.gz$")
    set(compressed "COMMAND gzip -9n")
  endif()
  get_filename_component(folder ${path} DIRECTORY)
  install(
    CODE "
      file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}\")
      execute_process(
        COMMAND \"$<TARGET_FILE:${program}>\" \"${arguments}\" ${compressed}
        OUTPUT_FILE \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${path}\"
        COMMAND_ERROR_IS_FATAL ANY)"
    COMPONENT ${component})
endfunction()

assent_install_said(assentd ${CMAKE_INSTALL_MANDIR}/man8/assentd.8.gz assentd --man)
assent_install_said(assentctl ${CMAKE_INSTALL_MANDIR}/man1/assentctl.1.gz assentctl man)
assent_install_said(assentctl ${CMAKE_INSTALL_DATADIR}/bash-completion/completions/assentctl assentctl completion bash)
assent_install_said(assentctl ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions/_assentctl assentctl completion zsh)
assent_install_said(assentctl ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d/assentctl.fish assentctl completion fish)

# ---- What packages alone have ----
install(FILES ${packaging}/assentd/assentd.service DESTINATION lib/systemd/system COMPONENT assentd EXCLUDE_FROM_ALL)
install(FILES ${packaging}/assentd/sysusers.conf DESTINATION lib/sysusers.d RENAME assentd.conf
        COMPONENT assentd EXCLUDE_FROM_ALL)
# All but the folder is at its default.
install(
  CODE "
    file(MAKE_DIRECTORY \"\$ENV{DESTDIR}/etc/assent\")
    execute_process(
      COMMAND env -i \"$<TARGET_FILE:assentd>\" --data /var/lib/assent --print-config
      OUTPUT_FILE \"\$ENV{DESTDIR}/etc/assent/assentd.toml\"
      COMMAND_ERROR_IS_FATAL ANY)"
  COMPONENT assentd EXCLUDE_FROM_ALL)

#   assent_install_papers(COMPONENT PACKAGE)
function(assent_install_papers component package)
  set(folder ${CMAKE_INSTALL_DATADIR}/doc/${package})
  install(FILES ${packaging}/copyright DESTINATION ${folder} COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(
    CODE "
      set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${folder}\")
      string(TIMESTAMP day \"%a, %d %b %Y %H:%M:%S +0000\" UTC)
      file(WRITE \"\${folder}/changelog.Debian\"
        \"assent (${PROJECT_VERSION}-1) unstable; urgency=medium\\n\\n  * What has changed: changelog.gz beside this file.\\n\\n -- ${CPACK_PACKAGE_CONTACT}  \${day}\\n\")
      configure_file(\"${PROJECT_SOURCE_DIR}/CHANGELOG.md\" \"\${folder}/changelog\" COPYONLY)
      execute_process(COMMAND gzip -9nf \"\${folder}/changelog.Debian\" \"\${folder}/changelog\" COMMAND_ERROR_IS_FATAL ANY)"
    COMPONENT ${component} EXCLUDE_FROM_ALL)
endfunction()

install(
  CODE "
    file(GLOB libraries \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_LIBDIR}/libassent_*.a\")
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-debug \${libraries} COMMAND_ERROR_IS_FATAL ANY)"
  COMPONENT sdk EXCLUDE_FROM_ALL)

# ---- CPack ----
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME assent)
set(CPACK_PACKAGE_VENDOR Assent)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL assentd assentctl sdk)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SOURCE assent)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)

set(CPACK_DEBIAN_ASSENTD_PACKAGE_NAME assentd)
set(CPACK_DEBIAN_ASSENTD_PACKAGE_SECTION database)
set(CPACK_DEBIAN_ASSENTD_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | systemd-sysusers, init-system-helpers (>= 1.52)")
set(CPACK_DEBIAN_ASSENTD_PACKAGE_RECOMMENDS assentctl)
set(CPACK_DEBIAN_ASSENTD_PACKAGE_SUGGESTS postgresql)
set(CPACK_DEBIAN_ASSENTD_PACKAGE_CONTROL_EXTRA
    ${packaging}/assentd/conffiles ${packaging}/assentd/postinst ${packaging}/assentd/prerm ${packaging}/assentd/postrm)
set(CPACK_COMPONENT_ASSENTD_DESCRIPTION
    "coordinator of distributed transactions
Sees to it that one business operation over several services, each with a
database of its own, happens in all of them or in none, also when a process is
killed in the middle: by two-phase commit, TCC or Saga, over a durable log in
SQLite or PostgreSQL.
.
This package has the daemon and its service.")

set(CPACK_DEBIAN_ASSENTCTL_PACKAGE_NAME assentctl)
set(CPACK_DEBIAN_ASSENTCTL_PACKAGE_SECTION database)
set(CPACK_COMPONENT_ASSENTCTL_DESCRIPTION
    "operator's command line for the Assent transaction coordinator
Shows which distributed transactions are not finished, and why; retries,
aborts, suspends and resolves them; and tells how the coordinators are.")

set(CPACK_DEBIAN_SDK_PACKAGE_NAME libassent-dev)
set(CPACK_DEBIAN_SDK_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_SDK_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_SDK_PACKAGE_DEPENDS "libgrpc++-dev, libmariadb-dev, libpq-dev, libprotobuf-dev, libsqlite3-dev, pkg-config, protobuf-compiler-grpc")
set(CPACK_DEBIAN_SDK_PACKAGE_SUGGESTS cmake)
set(CPACK_COMPONENT_SDK_DESCRIPTION
    "Assent transaction coordinator, C++ development files
Headers and libraries for services that take part in distributed transactions
or begin them, with adapters that keep what is prepared in the service's own
SQLite or PostgreSQL database, and a test kit. The protocol is here as well,
for other languages.")

assent_install_papers(assentd assentd)
assent_install_papers(assentctl assentctl)
assent_install_papers(sdk libassent-dev)
include(CPack)

# All that the packages hold, and nothing else.
add_custom_target(assent_packaged DEPENDS assentd assentctl ${ASSENT_SDK_INSTALLED})
