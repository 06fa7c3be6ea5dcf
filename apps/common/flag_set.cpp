#include "apps/common/flag_set.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>

#include "apps/common/app_main.h"
#include "apps/common/environment.h"
#include "apps/common/words.h"
#include "engine/core/error.h"

namespace kiln {
namespace {

constexpr std::size_t kHelpColumn = 30;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "{" : ",") + word;
  return text + "}";
}

struct ToText {
  std::string operator()(const bool* to) const { return *to ? "true" : "false"; }
  std::string operator()(const std::string* to) const { return *to; }
  std::string operator()(const std::optional<std::int64_t>* to) const {
    return *to ? std::to_string(**to) : std::string();
  }
  template <class Number>
  std::string operator()(const Number* to) const {
    return std::to_string(*to);
  }
};

std::string text_of(const Flag& flag) {
  const std::string text = std::visit(ToText{}, flag.to);
  return text.empty() ? flag.shown : text;
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// On or off in the words that people write.
std::optional<bool> switch_of(std::string_view text) {
  std::string word(text);
  std::ranges::transform(word, word.begin(), [](unsigned char c) { return std::tolower(c); });
  if (word == "1" || word == "true" || word == "yes" || word == "on") return true;
  if (word == "0" || word == "false" || word == "no" || word == "off") return false;
  return std::nullopt;
}

bool is_allowed(const Flag& flag, std::string_view text) {
  if (!flag.choices.empty()) return std::ranges::find(flag.choices, text) != flag.choices.end();
  if (flag.is_switch()) return switch_of(text).has_value();
  if (std::holds_alternative<std::string*>(flag.to)) return true;
  const auto value = whole_number(text);
  return value && *value >= flag.low && *value <= flag.high;
}

// The text is allowed.
struct Assign {
  std::string_view text;

  void operator()(bool* to) const { *to = *switch_of(text); }
  void operator()(std::string* to) const { *to = text; }
  void operator()(std::optional<std::int64_t>* to) const { *to = whole_number(text); }
  template <class Number>
  void operator()(Number* to) const {
    *to = static_cast<Number>(*whole_number(text));
  }
};

std::string fault_of(const Flag& flag, std::string_view text) {
  if (text.empty()) return "needs a value";
  const std::string shown = printable(text);
  if (!flag.choices.empty()) return shown + " not in " + joined(flag.choices);
  if (flag.is_switch()) return "cannot be " + shown;
  return "value " + shown + " not in range " + std::to_string(flag.low) + " to " +
         std::to_string(flag.high);
}

// "INT:INT in [0 - 65535]=8080"
std::string type_of(const FlagSet::Entry& entry) {
  const Flag& flag = entry.flag;
  if (flag.is_switch()) return "";
  const bool number = !std::holds_alternative<std::string*>(flag.to);
  const std::string type = std::holds_alternative<std::uint64_t*>(flag.to) ? "UINT"
                           : number                                        ? "INT"
                                                                           : "TEXT";
  std::string text = type;
  if (!flag.choices.empty())
    text += ":" + joined(flag.choices);
  else if (number)
    text +=
        ":" + type + " in [" + std::to_string(flag.low) + " - " + std::to_string(flag.high) + "]";
  const std::string value = text_of(flag);
  return value.empty() ? text : text + "=" + value;
}

std::string help_line(std::string left, std::string_view help) {
  std::string text = "  " + std::move(left);
  const std::string indent(kHelpColumn, ' ');
  if (text.size() >= kHelpColumn)
    text += "\n" + indent;
  else
    text.resize(kHelpColumn, ' ');
  for (const char c : help) {
    text += c;
    if (c == '\n') text += indent;
  }
  return text + "\n";
}

}  // namespace

FlagSet::FlagSet(std::string program, std::string description, std::string footer)
    : program_(std::move(program)),
      description_(std::move(description)),
      footer_(std::move(footer)) {}

void FlagSet::add_argument(Flag argument) {
  std::string value = text_of(argument);
  argument_ = Entry{.flag = std::move(argument), .value = std::move(value)};
}

void FlagSet::add(Flag flag) {
  std::string value = text_of(flag);
  entries_.push_back({.flag = std::move(flag), .value = std::move(value)});
}

std::vector<std::string> FlagSet::names() const {
  std::vector<std::string> names = {"--help"};
  for (const Entry& entry : entries_) names.push_back("--" + entry.flag.name);
  names.push_back("--version");
  return names;
}

FlagSet::Entry* FlagSet::find(std::string_view name) {
  const auto found = std::ranges::find_if(
      entries_, [name](const Entry& entry) { return entry.flag.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<FlagSet::Given> FlagSet::sort(const std::vector<std::string>& words) {
  std::vector<Given> given;
  const std::string* unknown = nullptr;
  bool help = false, show_version = false, flags = true;
  for (auto word = words.begin(); word != words.end(); ++word) {
    const std::size_t equals = std::min(word->find('='), word->size());
    const std::string_view name = std::string_view(*word).substr(0, equals);
    const bool is_flag = flags && name.starts_with("--") && name.size() > 2;
    Entry* entry = is_flag ? find(name.substr(2)) : nullptr;
    if (flags && name == "--") {
      flags = false;
    } else if (flags && (name == "--help" || name == "-h")) {
      help = true;
    } else if (flags && name == "--version") {
      show_version = true;
    } else if (entry != nullptr) {
      if (equals < word->size())
        given.push_back({entry, word->substr(equals + 1)});
      else if (entry->flag.is_switch())
        given.push_back({entry, "true"});
      else if (word + 1 != words.end())
        given.push_back({entry, *++word});
      else if (unknown == nullptr)
        throw Error(ErrorKind::usage, *word, "needs a value", "see " + program_ + " --help");
    } else if (!(flags && word->starts_with("-") && *word != "-") && argument_ &&
               !argument_->is_given) {
      argument_->is_given = true;
      given.push_back({&*argument_, *word});
    } else if (unknown == nullptr) {
      unknown = &*word;
    }
  }
  if (help || show_version) {
    std::fputs(help ? this->help().c_str() : ("kiln " + version() + "\n").c_str(), stdout);
    throw ExitEarly{0};
  }
  if (unknown != nullptr) refuse_word(program_, names(), *unknown);
  return given;
}

void FlagSet::take(const Given& given) {
  Entry& entry = *given.entry;
  const bool is_argument = argument_ && &entry == &*argument_;
  const std::string flag = is_argument ? entry.flag.name : "--" + entry.flag.name;
  const std::string mend = "see " + program_ + " --help";
  if (entry.is_given && !is_argument && !entry.flag.is_switch())
    throw Error(ErrorKind::usage, flag, "is given twice", mend);
  if (!set(entry, given.text, is_argument ? "argument" : "flag " + flag))
    throw Error(ErrorKind::usage, flag, fault_of(entry.flag, given.text), mend);
  entry.is_given = true;
}

void FlagSet::parse(int argc, char** argv) {
  for (const Given& given : sort(normalise_flags(argc, argv))) take(given);
}

bool FlagSet::set(Entry& entry, std::string_view text, std::string origin) {
  if (!is_allowed(entry.flag, text)) return false;
  std::visit(Assign{text}, entry.flag.to);
  entry.value = entry.flag.is_switch() ? text_of(entry.flag) : std::string(text);
  entry.origin = std::move(origin);
  return true;
}

std::string FlagSet::help() const {
  std::string text = description_ + "\nUsage: " + program_ + " [OPTIONS]" +
                     (argument_ ? " [" + argument_->flag.name + "]" : "") + "\n";
  const auto line = [](const Entry& entry, std::string left) {
    const std::string type = type_of(entry);
    return help_line(type.empty() ? std::move(left) : std::move(left) + " " + type,
                     entry.flag.help);
  };
  if (argument_) text += "\nPositionals:\n" + line(*argument_, argument_->flag.name);
  text += "\nOptions:\n" + help_line("-h,--help", "Print this help message and exit");
  for (const Entry& entry : entries_) text += line(entry, "--" + entry.flag.name);
  text += help_line("--version", "Print the version and leave");
  return text + "\n" + footer_ + "\n";
}

}  // namespace kiln
