// The command line of a program that has to be small: CLI11, which reads those of the others, needs
// streams and locales, 0.7 MB of a static program.
//
//   FlagSet flags("kiln serve", "Answers predictions", "examples: ...");
//   flags.add({.name = "port", .to = &port, .help = "Port", .low = 0, .high = 65535});
//   flags.parse(argc, argv);
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace kiln {

struct Flag {
  using Target = std::variant<bool*, std::string*, int*, std::int64_t*, std::uint64_t*,
                              std::optional<std::int64_t>*>;
  std::string name;                       // without the dashes
  Target to;                              // a bool: a switch, which needs no value
  std::string help;                       // lines are broken by '\n'
  std::vector<std::string> choices = {};  // all that it can be; empty: any text, or by low and high
  std::int64_t low = 0, high = 0;         // of a number without choices
  std::string shown = {};                 // the default of an empty optional
  bool is_setting = true;                 // it can be given by its environment twin too

  bool is_switch() const { return std::holds_alternative<bool*>(to); }
};

class FlagSet {
 public:
  // A flag with the text of its value: as given, else its default.
  struct Entry {
    Flag flag;
    std::string value, origin = "default";
    bool is_given = false;
  };

  FlagSet(std::string program, std::string description, std::string footer);

  // The one argument without a flag; it may be left out.
  void add_argument(Flag argument);
  void add(Flag flag);

  // Reads the command line into the variables. Prints the text of --help and --version on stdout
  // and throws ExitEarly. Throws Error (usage) naming the flag; for an unknown one it names the
  // nearest that there is.
  void parse(int argc, char** argv);
  // Gives a flag its value from somewhere else. False where it cannot be `text`.
  bool set(Entry& entry, std::string_view text, std::string origin);

  const std::string& program() const { return program_; }
  std::vector<Entry>& entries() { return entries_; }
  // "--port", ...
  std::vector<std::string> names() const;
  std::string help() const;

 private:
  struct Given {
    Entry* entry;
    std::string text;
  };
  std::vector<Given> sort(const std::vector<std::string>& words);
  Entry* find(std::string_view name);
  void take(const Given& given);

  std::string program_, description_, footer_;
  std::optional<Entry> argument_;
  std::vector<Entry> entries_;
};

}  // namespace kiln
