# Files that a program carries inside itself. As a script it writes one C++ source that has the text of each:
#
#   cmake -DOUT=files.cc -DFOLDER=DIR -DFILES="a.html;b.js" -P AssentEmbed.cmake
#
# As a module it has the function by which a target gets such a source:
#
#   assent_embed(assent_http FOLDER console FILES index.html app.js)
#
# What is embedded is text: it goes in as a raw literal, whose end it may not contain.

set(_assent_embed ${CMAKE_CURRENT_LIST_FILE})

function(assent_embed target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FOLDER" "FILES")
  set(out ${CMAKE_CURRENT_BINARY_DIR}/${arg_FOLDER}_files.cc)
  set(folder ${CMAKE_CURRENT_SOURCE_DIR}/${arg_FOLDER})
  list(TRANSFORM arg_FILES PREPEND ${folder}/ OUTPUT_VARIABLE sources)
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DFOLDER=${folder} "-DFILES=${arg_FILES}" -P ${_assent_embed}
    DEPENDS ${sources} ${_assent_embed}
    COMMENT "Embedding ${arg_FOLDER}"
    VERBATIM)
  target_sources(${target} PRIVATE ${out})
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  set(text "// Made by AssentEmbed.cmake.\n#include \"coordinator/http/console.h\"\n\n")
  string(APPEND text "namespace assent::http {\n\nconst std::vector<ConsoleFile>& ConsoleFiles() {\n")
  string(APPEND text "  static const auto* const files = new std::vector<ConsoleFile>{\n")
  foreach(file IN LISTS FILES)
    file(READ ${FOLDER}/${file} content)
    file(SHA256 ${FOLDER}/${file} hash)
    string(SUBSTRING ${hash} 0 16 hash)
    string(FIND "${content}" ")embed\"" end)
    if(NOT end EQUAL -1)
      message(FATAL_ERROR "${file} has the end of a raw literal in it")
    endif()
    string(APPEND text "{\"${file}\", \"${hash}\", R\"embed(${content})embed\"},\n")
  endforeach()
  string(APPEND text "  };\n  return *files;\n}\n\n}  // namespace assent::http\n")
  file(WRITE ${OUT} "${text}")
endif()
