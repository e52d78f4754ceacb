#pragma once

// Included before everything else in ThreadSanitizer builds of what includes protobuf.
//
// protobuf's map fields have two members more when __SANITIZE_THREAD__ is defined
// (google/protobuf/map_field.h). The distribution's library was built without, so the two disagree
// about where everything else in a map field is, and the first use of one through reflection is a
// crash. The standard library's own configuration is read first: it wants to know.

#include <cstddef>

#undef __SANITIZE_THREAD__
