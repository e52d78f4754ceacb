# The maintainer of a package is who built it, named as to Debian's own tools. Policy 5.6.2 wants an address; where nobody
# gives one, it is of a domain that never exists (RFC 2606), so that nobody writes to a stranger.
if(DEFINED ENV{DEBFULLNAME} AND DEFINED ENV{DEBEMAIL})
  set(CPACK_PACKAGE_CONTACT "$ENV{DEBFULLNAME} <$ENV{DEBEMAIL}>")
else()
  set(CPACK_PACKAGE_CONTACT "Whoever built this package <no-published-address@assent.invalid>")
endif()
