#pragma once

// Writes the demo's story for people: colour only on a terminal, and never with NO_COLOR.

#include <string>
#include <string_view>

namespace demo {

class Teller {
 public:
  Teller();
  void Chapter(std::string_view title);
  void Begin(std::string_view name, std::string_view title);
  // A sentence of the story that is being told.
  void Say(std::string_view sentence);
  void Good(std::string_view verdict);
  void Bad(std::string_view verdict);
  // As it is, at any width.
  void Print(std::string_view text);

 private:
  std::string Paint(const char* code, std::string_view text) const;
  bool colour_ = false;
};

}  // namespace demo
