#include "tests/report/markup_check.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace kiln {
namespace {

const std::set<std::string, std::less<>> kVoid = {"meta", "img", "br", "link", "input", "hr"};

class Checker {
 public:
  explicit Checker(std::string_view html) : rest_(html) {}

  std::vector<std::string> run() {
    while (!rest_.empty() && faults_.size() < 20) {
      if (rest_.front() == '<') {
        take_tag();
      } else {
        take_text();
      }
    }
    for (const std::string& name : open_) faults_.push_back("<" + name + "> is never closed");
    for (const std::string& target : targets_)
      if (!ids_.contains(target)) faults_.push_back("nothing has the id " + target);
    return faults_;
  }

 private:
  void fault(const std::string& text) { faults_.push_back(text + " near " + near()); }
  std::string near() const { return "\"" + std::string(rest_.substr(0, 60)) + "\""; }

  void take_text() {
    const std::size_t end = std::min(rest_.find('<'), rest_.size());
    const std::string_view text = rest_.substr(0, end);
    for (std::size_t at = text.find('&'); at != text.npos; at = text.find('&', at + 1))
      if (text.find(';', at) > at + 7) fault("a bare ampersand");
    rest_.remove_prefix(end);
  }

  void take_tag() {
    if (rest_.starts_with("<!doctype")) return rest_.remove_prefix(rest_.find('>') + 1);
    const bool closing = rest_.starts_with("</");
    rest_.remove_prefix(closing ? 2 : 1);
    const std::string name = take_name();
    if (name.empty()) return fault("a bare <");
    bool self_closed = false;
    if (!closing) self_closed = take_attributes(name);
    if (!rest_.starts_with(">")) return fault("<" + name + " has no end");
    rest_.remove_prefix(1);
    if (closing) return close(name);
    if (self_closed || kVoid.contains(name)) return;
    open_.push_back(name);
    if (name == "script" || name == "iframe" || name == "object") fault("<" + name + "> is there");
    if (name == "style") take_style();
  }

  void close(const std::string& name) {
    if (open_.empty() || open_.back() != name)
      return fault("</" + name + "> closes " + (open_.empty() ? "nothing" : open_.back()));
    open_.pop_back();
  }

  void take_style() {
    const std::string_view css = rest_.substr(0, rest_.find("</style>"));
    for (const char* loads : {"url(", "@import", "@font-face", "expression("})
      if (css.find(loads) != css.npos) fault(std::string("the style sheet has ") + loads);
    if (std::count(css.begin(), css.end(), '{') != std::count(css.begin(), css.end(), '}'))
      fault("braces of the style sheet do not match");
    rest_.remove_prefix(css.size());
  }

  std::string take_name() {
    std::size_t length = 0;
    while (length < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[length])) != 0 || rest_[length] == '-'))
      ++length;
    std::string name(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return name;
  }

  // True when the tag ends itself with a slash.
  bool take_attributes(const std::string& tag) {
    bool has_alt = false;
    for (;;) {
      while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front())) != 0)
        rest_.remove_prefix(1);
      const std::string name = take_name();
      if (name.empty()) break;
      if (!rest_.starts_with("=\"")) {
        fault("attribute " + name + " has no quoted value");
        break;
      }
      rest_.remove_prefix(2);
      const std::string value(rest_.substr(0, rest_.find('"')));
      rest_.remove_prefix(std::min(value.size() + 1, rest_.size()));
      has_alt = has_alt || (name == "alt" && !value.empty());
      check_attribute(name, value);
    }
    if (tag == "img" && !has_alt) fault("a picture without words");
    if (!rest_.starts_with("/")) return false;
    rest_.remove_prefix(1);
    return true;
  }

  void check_attribute(const std::string& name, const std::string& value) {
    if (value.find('<') != value.npos) fault("a bare < in " + name);
    if (name.starts_with("on")) fault("the event handler " + name);
    if (name == "id" && !ids_.insert(value).second) fault("the id " + value + " is there twice");
    if (name == "src" && !value.starts_with("data:image/png;base64,")) fault("src loads " + value);
    if (name != "href") return;
    if (!value.starts_with("#")) return fault("href leads to " + value);
    targets_.push_back(value.substr(1));
  }

  std::string_view rest_;
  std::vector<std::string> open_, targets_, faults_;
  std::set<std::string> ids_;
};

}  // namespace

std::vector<std::string> markup_faults(std::string_view html) { return Checker(html).run(); }

}  // namespace kiln
