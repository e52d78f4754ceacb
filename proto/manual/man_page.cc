#include "proto/manual/man_page.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <ctime>
#include <sstream>
#include <utility>
#include <vector>

#include "proto/manual/wrap.h"

namespace assent {
namespace {

// Of lines of roff; mandoc has it for good style.
constexpr std::size_t kColumns = 78;

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

// What roff would take for a dash, a quote, a command or an escape is the character itself.
std::string Escaped(const std::string& text) {
  std::string out;
  char before = ' ';
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\e"; break;
      case '-': out += "\\-"; break;
      case '\'': out += "\\(aq"; break;
      case '"': out += "\\(dq"; break;
      case '`': out += "\\(ga"; break;
      case '^': out += "\\(ha"; break;
      case '~': out += "\\(ti"; break;
      case '.': out += before == ' ' ? "\\&." : "."; break;
      default: out += c;
    }
    before = c;
  }
  return out;
}

std::string Bold(const std::string& text) { return "\\fB" + Escaped(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Escaped(text) + "\\fR"; }

class Writer {
 public:
  void Line(const std::string& line) { page_ += line + "\n"; }
  void Section(const std::string& title) { Line(".SH \"" + Escaped(Upper(title)) + "\""); }
  void Text(const std::string& text) { Line(Wrap(Escaped(text), kColumns)); }
  void Tagged(const std::string& tag, const std::string& text) {
    Line(".TP\n" + tag);
    Text(text);
  }
  std::string Take() { return std::move(page_); }

 private:
  std::string page_;
};

bool IsHeading(const std::string& line) { return line.front() != ' ' && line.back() == ':'; }

// Blocks of equal kind: lines that are indented, as they are, or running text.
void WriteFooter(const std::string& footer, bool sections, Writer& out) {
  std::istringstream lines(footer);
  std::string running;
  bool literal = false;
  bool begun = false;  // a heading has opened the paragraph
  const auto end = [&] {
    if (literal) out.Line(".EE\n.RE");
    if (!running.empty() && !begun) out.Line(".PP");
    if (!running.empty()) out.Text(running);
    if (!running.empty()) begun = false;
    running.clear();
    literal = false;
  };
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) {
      end();
    } else if (IsHeading(line)) {
      end();
      line.pop_back();
      if (sections) out.Section(line);
      if (!sections) out.Line(".PP\n" + Escaped(line) + ":");
      begun = sections;
    } else if (line.front() == ' ') {
      if (!literal) {
        end();
        out.Line(".RS\n.EX");
      }
      literal = true;
      begun = false;
      out.Line(Escaped(line.substr(std::min<std::size_t>(2, line.find_first_not_of(' ')))));
    } else {
      if (literal) end();
      running += (running.empty() ? "" : " ") + line;
    }
  }
  end();
}

// "-o, --output OUTPUT", or the name of an argument.
std::string Tag(const CLI::Option& option) {
  if (option.get_positional()) return Italic(option.get_name(true));
  std::string tag;
  for (const std::string& name : option.get_snames())
    tag += (tag.empty() ? "" : ", ") + Bold("-" + name);
  for (const std::string& name : option.get_lnames())
    tag += (tag.empty() ? "" : ", ") + Bold("--" + name);
  if (option.get_items_expected_max() > 0) tag += " " + Italic(option.get_type_name());
  return tag;
}

std::vector<const CLI::Option*> Shown(const CLI::App& command, bool positional) {
  std::vector<const CLI::Option*> shown;
  for (const CLI::Option* option : command.get_options()) {
    const bool is_help = command.get_parent() != nullptr && option == command.get_help_ptr();
    if (!option->get_group().empty() && !is_help && option->get_positional() == positional)
      shown.push_back(option);
  }
  return shown;
}

std::vector<const CLI::App*> Below(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

// With its words, from the program's name on.
std::string Usage(const CLI::App& command, const std::string& path) {
  std::string usage = Bold(path);
  if (!Shown(command, false).empty()) usage += " [" + Italic("OPTIONS") + "]";
  for (const CLI::Option* argument : Shown(command, true)) {
    std::string name = argument->get_name(true);
    const bool says_itself = name.find("...") != std::string::npos;
    if (argument->get_items_expected_max() > 1 && !says_itself) name += "...";
    usage += argument->get_required() ? " " + Italic(name) : " [" + Italic(name) + "]";
  }
  if (!Below(command).empty()) usage += " [" + Italic("COMMAND") + "]";
  return usage;
}

void WriteOptions(const CLI::App& command, Writer& out) {
  for (const bool positional : {true, false}) {
    for (const CLI::Option* option : Shown(command, positional)) {
      const std::string otherwise = option->get_default_str();
      out.Tagged(Tag(*option), option->get_description() +
                                   (otherwise.empty() ? "" : " (default " + otherwise + ")"));
    }
  }
}

void WriteCommand(const CLI::App& command, const std::string& above, Writer& out) {
  const std::string path = above + " " + command.get_name();
  out.Line(".SS \"" + Usage(command, path) + "\"");
  out.Text(command.get_description());
  WriteOptions(command, out);
  WriteFooter(command.get_footer(), false, out);
  for (const CLI::App* below : Below(command)) WriteCommand(*below, path, out);
}

}  // namespace

std::string ManPage(const CLI::App& program, const ManFacts& facts) {
  const std::string name = program.get_name();
  std::string description = program.get_description();
  if (!description.empty() && description.back() == '.') description.pop_back();
  Writer out;
  out.Line(".TH " + Upper(name) + " " + std::to_string(facts.section) + " " + facts.date +
           " \"assent " + facts.version + "\" Assent");
  out.Section("Name");
  out.Text(name + " - " + description);
  out.Section("Synopsis");
  out.Line(Usage(program, name));
  out.Section("Options");
  WriteOptions(program, out);
  if (!Below(program).empty()) out.Section("Commands");
  for (const CLI::App* command : Below(program)) WriteCommand(*command, name, out);
  WriteFooter(program.get_footer(), true, out);
  out.Section("See also");
  out.Text(facts.see_also);
  return out.Take();
}

std::string ManDate() {
  const char* const given = std::getenv("SOURCE_DATE_EPOCH");
  const std::time_t time = given != nullptr ? std::strtoll(given, nullptr, 10) : std::time(nullptr);
  std::tm day{};
  char text[16];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d", gmtime_r(&time, &day))};
}

}  // namespace assent
