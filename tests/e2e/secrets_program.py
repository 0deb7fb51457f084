"""Writes a C++ program with secrets in every place that a debugger can look into.

A secret is a token that is easy to search for; so is a control, which stands in harmless places and
must be found. No token stands in the program's text: each is made at run time from its number.
"""
import random
import re

SECRET = re.compile(rb"zq7[0-9]{4}[0-9a-f]{12}")
CONTROL = re.compile(rb"zk7[0-9]{4}[0-9a-f]{12}")
NUMBER_HIGH = 0x7A715A5A  # the upper half of secret numbers

# The names of the built-in list in every spelling; `{}` is where an affix goes.
NAMES = """password passwd pwd passphrase passHash secret secretKey token accessToken refresh_token
 auth_token apiKey api_secret apiSignature x_api_key auth authorization oauth credential credentials
 client_id clientSecret privateKey ssh_key gpgKey pgp_key pemFile pkcs8 encryptionKey master_key
 cipher signature salt nonce otp pin pinCode jwt jti session sessionId cookie set_cookie csrf xsrf
 creditCard cc_number cvv routingNumber ssn voter_id connectionString database_url ipAddress
 x_forwarded_for geolocation""".split()
SPELLINGS = ["{}", "m_{}", "k{C}", "user_{}", "{}1", "{}_", "old{C}2", "g_{}", "{}s", "my_{}_text"]

# Places for a secret whose variable's name tells. {n}: the name, {i}: the secret's number.
NAMED = """
std::string {n} = T({i});
char {n}[64]; Put({n}, {i});
const char* {n} = Keep({i}).c_str();
std::string_view {n} = Keep({i});
std::optional<std::string> {n} = T({i});
std::variant<int, std::string> {n} = T({i});
std::vector<std::string> {n} = {{T({i})}};
std::vector<char> {n}(Keep({i}).begin(), Keep({i}).end());
std::array<char, 64> {n}; Put({n}.data(), {i});
std::map<std::string, std::string> {n} = {{{{"k", T({i})}}}};
std::map<std::string, int> {n} = {{{{T({i}), 1}}}};
std::unordered_map<int, std::string> {n} = {{{{7, T({i})}}}};
std::unique_ptr<std::string> {n} = std::make_unique<std::string>(T({i}));
std::shared_ptr<std::string> {n} = std::make_shared<std::string>(T({i}));
std::string* {n} = new std::string(T({i}));
std::string** {n} = new std::string*(new std::string(T({i})));
std::u16string {n}(Keep({i}).begin(), Keep({i}).end());
std::wstring {n}(Keep({i}).begin(), Keep({i}).end());
std::pair<int, std::string> {n}(1, T({i}));
std::tuple<int, std::string> {n}(1, T({i}));
std::any {n} = T({i});
std::list<std::string> {n} = {{T({i})}};
std::deque<std::string> {n} = {{T({i})}};
std::set<std::string> {n} = {{T({i})}};
long {n} = Number({i});
const long* {n} = new long(Number({i}));
const std::string& {n} = Keep({i});
Plain {n}{{1, T({i})}};
std::function<std::string()> {n} = [t = T({i})] {{ return t; }};
std::atomic<long> {n}{{Number({i})}};
std::span<const std::string> {n}(&Keep({i}), 1);
""".strip().splitlines()

# Harmless names over secret types, members, keys and captures.
INSIDE = """
Account {n}{{1, {{}}, T({i})}}; Put({n}.pin, {i});
Login {n}; Put({n}.raw, {i});
Derived {n}; {n}.inner = T({i});
SecretBox {n}{{T({i})}};
std::unique_ptr<SecretBox> {n}(new SecretBox{{T({i})}});
std::vector<SecretBox> {n} = {{{{T({i})}}}};
std::optional<SecretBox> {n} = SecretBox{{T({i})}};
std::map<std::string, AwsCredentials> {n} = {{{{"k", {{1, T({i})}}}}}};
std::map<std::string, std::string> {n} = {{{{"authorization", T({i})}}}};
std::unordered_map<std::string, std::string> {n} = {{{{"api_key", T({i})}}}};
std::map<std::string, Plain> {n} = {{{{"session-id", {{1, T({i})}}}}}};
std::map<Field, std::string> {n} = {{{{Field::kPassword, T({i})}}}};
std::map<std::string, std::vector<std::string>> {n} = {{{{"Set-Cookie", {{T({i})}}}}}};
std::vector<std::pair<std::string, std::string>> {n} = {{{{"x-api-key", T({i})}}}};
std::vector<Header> {n} = {{{{"Cookie", T({i})}}}};
std::pair<const char*, std::string> {n}("userPassword1", T({i}));
auto {n} = [password = T({i})] {{ return password.size(); }};
Nested {n}{{{{1, {{}}, T({i})}}}}; Put({n}.account.pin, {i});
std::variant<int, SecretBox> {n} = SecretBox{{T({i})}};
std::any {n} = SecretBox{{T({i})}};
std::map<std::string, std::string> {n} = {{{{"iban", T({i})}}}};
std::string ibanOf{n} = T({i});
std::string {n} = "sk_live_" + T({i});
Vault {n}{{T({i})}};
std::tuple<std::string, std::string> {n}("password", T({i}));
std::vector<std::tuple<const char*, long, std::string>> {n} = {{{{"x-api-key", Number({i}), T({i})}}}};
auto [k{n}, {n}] = std::pair<std::string, std::string>("cookie", T({i})); Look(k{n});
auto [k{n}, {n}] = std::tuple<std::string, std::string>("otp", T({i})); Look(k{n});
auto [k{n}, {n}] = Header{{"Cookie", T({i})}}; Look(k{n});
const auto& [k{n}, {n}] = Entry("session", {i}); Look(k{n});
""".strip().splitlines()

# What the value itself tells: {p} makes the text.
PATTERNS = ['"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi" + T({i}) + ".c2ln"', '"Bearer " + T({i})',
            '"-----BEGIN PRIVATE KEY-----\\n" + T({i})', '"postgres://bob:" + T({i}) + "@db/x"',
            '"user=bob password=" + T({i})', '"{{\\"apiKey\\": \\"" + T({i}) + "\\"}}"',
            '"GET /x\\r\\nCookie: id=" + T({i})', '"https://x.example/?access_token=" + T({i})']
PATTERN_PLACES = """
std::string {n} = {p};
char {n}[128]; std::strcpy({n}, (({p}).c_str()));
const char* {n} = Hold({p}).c_str();
std::string_view {n} = Hold({p});
std::optional<std::string> {n} = {p};
std::vector<std::string> {n} = {{{p}}};
std::vector<char> {n}(Hold({p}).begin(), Hold({p}).end());
std::u16string {n}(Hold({p}).begin(), Hold({p}).end());
std::map<int, std::string> {n} = {{{{1, {p}}}}};
std::map<std::string, int> {n} = {{{{{p}, 1}}}};
std::set<std::string> {n} = {{{p}}};
std::string* {n} = &Hold({p});
std::deque<char> {n}(Hold({p}).begin(), Hold({p}).end());
Plain {n}{{1, {p}}};
std::string {n} = {p}; Damage({n});
""".strip().splitlines()

HEAD = r"""
#include <any>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

static std::string Token(char kind, int i) {
  uint64_t mix = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u;
  char text[32];
  std::snprintf(text, sizeof text, "z%c7%04d%012llx", kind, i,
                static_cast<unsigned long long>(mix >> 16));
  return text;
}
static std::string T(int i) { return Token('q', i); }
static std::string Control(int i) { return Token('k', i); }
static volatile long g_high = 0x7A715A5A;  // so that no number stands in optimized code
static long Number(int i) { return g_high << 32 | i; }
static void Put(char* out, int i) { std::strcpy(out, T(i).c_str()); }
static std::map<int, std::string> g_kept;
static std::string& Keep(int i) {
  auto& kept = g_kept[i];
  if (kept.empty()) kept = T(i);
  return kept;
}
static std::list<std::string> g_held;
static std::string& Hold(const std::string& text) {
  for (auto& one : g_held)
    if (one == text) return one;
  return g_held.emplace_back(text);
}
static std::map<int, std::map<std::string, std::string>> g_entries;
static const std::pair<const std::string, std::string>& Entry(const char* key, int i) {
  return *g_entries[i].emplace(key, T(i)).first;
}
// Optimized code keeps what is looked at.
template <class Value>
static inline void Look(const Value& value) { asm volatile("" : : "r"(&value) : "memory"); }
// A size that cannot be: the string's members are shown raw.
static std::vector<std::string*> g_damaged;
static std::vector<size_t> g_sizes;
static void Damage(std::string& text) {
  g_damaged.push_back(&text);
  g_sizes.push_back(text.size());
  reinterpret_cast<size_t*>(&text)[1] = ~size_t{0} / 3;
}
static void Repair() {
  for (size_t i = 0; i < g_damaged.size(); ++i) reinterpret_cast<size_t*>(g_damaged[i])[1] = g_sizes[i];
  g_damaged.clear();
  g_sizes.clear();
}

struct Plain { int id; std::string text; };
struct Account { int id; char pin[64]; std::string m_apiKey; };
struct Nested { Account account; };
union Login { char password[64]; char raw[64]; };
struct SecretBox {
  std::string inner;
  __attribute__((noinline)) std::string Reveal() const { return inner; }
};
struct AwsCredentials { int id; std::string value; };
struct Derived : SecretBox { int other = 1; };
struct Header { std::string name; std::string value; };
struct Vault { std::string door; };
enum class Field { kName, kPassword };
static volatile int g_sink;
static long g_numbers;
"""


def cap(name):
    return name[0].upper() + name[1:]


class Program:
    """The text, its lines to look at, and how many secrets there are."""

    def __init__(self, seed=1):
        random.seed(seed)
        self.text = HEAD
        self.secrets = 0
        self.controls = 0
        self.places = []  # (function, mark)
        self.named = []   # (function, variable): redacted at its top
        self._globals()
        self._named()
        self._inside()
        self._patterns()
        self._special()
        self._results()
        self._main()

    def number(self):
        self.secrets += 1
        return self.secrets

    def spelled(self, k):
        name, spelling = NAMES[k % len(NAMES)], SPELLINGS[(k // len(NAMES) + k) % len(SPELLINGS)]
        return spelling.replace("{}", name).replace("{C}", cap(name))

    def function(self, body, argument):
        name = f"Place{len(self.places)}"
        self.controls += 1
        control = self.controls
        caller = self.number()
        # The secret argument, the caller's own local, and a control among them.
        self.text += (
            f"__attribute__((noinline)) static void {name}(const std::string& {argument}) {{\n"
            f"  std::string visible = Control({control}); Look(visible);\n"
            + "".join(f"  {line}\n" for line in body) +
            f"  g_sink = static_cast<int>(visible.size() + {argument}.size());  // mark-{name}\n"
            f"  Repair();\n}}\n"
            f"__attribute__((noinline)) static void Call{name}() {{\n"
            f"  std::string callersPassword = T({caller});\n"
            f"  {name}(callersPassword);\n  g_sink = 0;\n  Look(callersPassword);\n}}\n")
        self.places.append(name)
        return name

    def _globals(self):
        self.globals = []
        for name in ("g_masterKey", "g_passwords"):
            i = self.number()
            self.text += f"static std::string {name};\n"
            self.globals.append(f"{name} = T({i});")
        i = self.number()
        self.text += "static thread_local char t_token[64];\n"
        self.globals.append(f"Put(t_token, {i});")

    def _named(self):
        k = 0
        for _ in range(24):
            body, variables = [], []
            for form in NAMED:
                name = self.spelled(k)
                k += 1
                if any(v == name for v in variables):
                    name += "_v"
                variables.append(name)
                body.append(form.format(n=name, i=self.number()) + f" Look({name});")
            function = self.function(body, "argToken")
            self.named += [(function, v) for v in variables]

    def _inside(self):
        for _ in range(5):
            self.function([form.format(n=f"v{j}", i=self.number()) + f" Look({of}v{j});"
                           for j, form in enumerate(INSIDE)
                           for of in ["ibanOf" if "ibanOf" in form else ""]], "argPin")

    def _patterns(self):
        for pattern in PATTERNS:
            body = []
            for j, form in enumerate(PATTERN_PLACES):
                text = pattern.format(i=self.number())
                body.append(form.format(n=f"v{j}", p="(" + text + ")") + f" Look(v{j});")
            self.function(body, "argSession")

    def _special(self):
        n = self.number
        self.text += (
            "__attribute__((noinline)) static void Ask() {\n"
            f"  std::map<std::string, std::string> ordered = {{{{\"password\", T({n()})}}, {{\"city\", Control(900)}}}};\n"
            f"  std::unordered_map<std::string, std::string> hashed = {{{{\"api_key\", T({n()})}}, {{\"city\", Control(901)}}}};\n"
            f"  std::vector<std::pair<std::string, std::string>> pairs = {{{{\"Cookie\", T({n()})}}}};\n"
            f"  std::vector<Header> headers = {{{{\"authorization\", T({n()})}}}};\n"
            f"  std::map<Field, std::string> fields = {{{{Field::kPassword, T({n()})}}}};\n"
            f"  Account account{{1, {{}}, T({n()})}}; Put(account.pin, {n()});\n"
            f"  Login login; Put(login.raw, {n()});\n"
            f"  std::string password = T({n()}); long pin = Number({n()});\n"
            "  std::string asked = \"password\", askedHash = \"api_key\", city = \"city\";\n"
            "  Field field = Field::kPassword;\n"
            f"  std::string harmless = \"Bearer \" + T({n()});\n"
            f"  std::string live = \"sk_live_\" + T({n()});\n"
            f"  long card = 4000000000000002; (void)card;\n"
            "  Look(ordered); Look(hashed); Look(pairs); Look(headers); Look(fields); Look(account);\n"
            "  Look(login); Look(password); Look(pin); Look(asked); Look(askedHash); Look(city);\n"
            "  Look(field); Look(harmless); Look(live); Look(card);\n"
            "  g_sink = static_cast<int>(password.size() + pin + ordered.size() + asked.size() + "
            "city.size() + askedHash.size() + live.size());  // mark-Ask\n}\n"
            "__attribute__((noinline)) static void Throw() {\n"
            f"  try {{ throw std::runtime_error(\"login failed: Bearer \" + T({n()})); }} "
            "catch (const std::exception&) {}\n}\n")

    # Functions whose results are secret: by their names, their class, or what they return.
    returns = ("getPassword", "api_key", "pinCode", "SecretBox::Reveal", "Greeting", "OneHeader")

    def _results(self):
        n = self.number
        control = "Control(902)"
        self.text += (
            f"__attribute__((noinline)) std::string getPassword() {{ return T({n()}); }}\n"
            f"__attribute__((noinline)) const char* api_key() {{ return Keep({n()}).c_str(); }}\n"
            f"__attribute__((noinline)) long pinCode() {{ return Number({n()}); }}\n"
            f"__attribute__((noinline)) std::string Greeting() {{ return \"Bearer \" + T({n()}); }}\n"
            "__attribute__((noinline)) std::pair<std::string, std::string> OneHeader() {\n"
            f"  return {{\"authorization\", T({n()})}};\n}}\n"
            "__attribute__((noinline)) static void Return() {\n"
            f"  Look(getPassword()); Look(api_key()); Look(pinCode()); Look(SecretBox{{T({n()})}}.Reveal());\n"
            "  Look(Greeting()); Look(OneHeader());\n}\n"
            "__attribute__((noinline)) static void Set(const std::string& name, const std::string& value,\n"
            "                                          std::string_view key, long val) {\n"
            "  Look(name); Look(value); Look(key); Look(val);\n"
            "  g_sink = static_cast<int>(name.size() + value.size() + key.size() + val);  // mark-Set\n"
            "  Look(name); Look(value); Look(key); Look(val);\n}\n"
            "__attribute__((noinline)) static void Loop() {\n"
            f"  std::map<std::string, std::string> settings = {{{{\"password\", T({n()})}}, {{\"city\", {control}}}}};\n"
            f"  std::tuple<std::string, std::string> entry(\"token\", T({n()}));\n"
            f"  std::pair<std::string, std::string> pair(\"token\", T({n()})); Look(entry); Look(pair);\n"
            "  for (const auto& [word, text] : settings) {\n"
            "    Look(word); Look(text);\n"
            "    g_sink = static_cast<int>(word.size() + text.size());  // mark-Loop\n"
            "    Look(word); Look(text); Look(entry); Look(pair);\n  }\n"
            f"  Set(\"secret\", T({n()}), \"pin\", Number({n()}));\n}}\n")

    def _main(self):
        self.text += "int main() {\n" + "".join(f"  {line}\n" for line in self.globals)
        self.text += ("  std::printf(\"%p\\n\", static_cast<void*>(t_token));\n"
                      "  std::fflush(stdout);\n  char line[64];\n"
                      "  while (std::fgets(line, sizeof line, stdin) != nullptr) {\n")
        # One at a time, so that the ring has room for each.
        calls = [f"Call{name}();" for name in self.places] + ["Ask();", "Throw();", "Return();", "Loop();"]
        self.text += "    switch (std::atoi(line)) {\n"
        self.text += "".join(f"      case {k}: {call} break;\n" for k, call in enumerate(calls))
        self.text += ("    }\n    std::puts(\"done\");\n    std::fflush(stdout);\n  }\n}\n")

    def line_of(self, mark):
        return next(n for n, line in enumerate(self.text.splitlines(), 1)
                    if line.endswith(f"// mark-{mark}"))
