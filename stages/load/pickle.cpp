#include <bit>
#include <cstring>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/spaces/support/quote.hpp>
#include <flowdarts/stages/load/pickle.hpp>
#include <iterator>
#include <map>
#include <string_view>

namespace flowdarts::pickle {
namespace {

using Bytes = std::span<const std::uint8_t>;

/// What the machine's stack holds besides values: names of callables, bytes of the file, and arrays half made.
struct Callable {
  std::string name;  // "module name"
};
struct Mark {};
struct Raw {
  Bytes bytes;  // of the file, or of `owned`
  std::shared_ptr<const std::vector<std::uint8_t>> owned = {};
};
struct Dtype {
  std::string name;
};
struct Tuple;
using Item = std::variant<Value, Callable, Mark, Raw, Dtype, std::shared_ptr<const Tuple>>;
/// May be the arguments of a call: with bytes and types as well.
struct Tuple {
  std::vector<Item> items;
};

/// The machine that a pickle is a program of.
class Machine {
 public:
  Machine(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  Value run() {
    for (;;) {
      const std::size_t at = position_;
      const std::uint8_t op = take(1)[0];
      if (op == '.') break;
      start_ = at;
      step(op);
    }
    if (stack_.size() != 1) fail("found " + std::to_string(stack_.size()) + " objects at the end, expected one");
    return pop_value();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw InputError(name_ + ": pickle, byte " + std::to_string(start_) + ": " + what);
  }

  Bytes take(std::uint64_t count) {
    if (count > bytes_.size() - position_) {
      start_ = bytes_.size();
      fail("found the end of the file, expected " + std::to_string(count - (bytes_.size() - position_)) +
           " bytes more");
    }
    const Bytes taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return taken;
  }
  std::uint64_t number(std::size_t width) {
    std::uint64_t value = 0;
    const Bytes digits = take(width);
    for (std::size_t i = 0; i < width; ++i) value |= std::uint64_t{digits[i]} << (8 * i);
    return value;
  }
  std::string text(std::uint64_t size) {
    const Bytes taken = take(size);
    return {taken.begin(), taken.end()};
  }
  std::string line() {
    std::string found;
    for (char c = 0; (c = static_cast<char>(take(1)[0])) != '\n';) found += c;
    return found;
  }

  template <class T>
  void push(T value) {
    stack_.push_back(Item(std::move(value)));
  }
  void push_value(decltype(Value::data) data) { push(Value{std::move(data)}); }
  Item pop() {
    if (stack_.empty()) fail("found too few objects");
    Item top = std::move(stack_.back());
    stack_.pop_back();
    return top;
  }
  template <class T>
  T pop_as(const char* what) {
    Item top = pop();
    if (auto* found = std::get_if<T>(&top)) return std::move(*found);
    fail(std::string("found another object, expected ") + what);
  }
  Value pop_value() { return as_value(pop()); }
  Value as_value(Item item, int depth = 0) {
    if (auto* value = std::get_if<Value>(&item)) return std::move(*value);
    if (auto* raw = std::get_if<Raw>(&item)) return Value{std::string(raw->bytes.begin(), raw->bytes.end())};
    const auto* tuple = std::get_if<std::shared_ptr<const Tuple>>(&item);
    if (tuple == nullptr) fail("found a callable or a type, expected a value");
    // A tuple of itself twice, of that twice, ... would be endless.
    if (depth > 16 || (copied_ += (*tuple)->items.size()) > bytes_.size()) fail("found tuples nested too deeply");
    auto list = std::make_shared<List>();
    for (const Item& own : (*tuple)->items) list->push_back(as_value(own, depth + 1));
    return Value{std::move(list)};
  }
  /// What lies above the last mark, and takes the mark off.
  std::vector<Item> pop_to_mark() {
    std::size_t mark = stack_.size();
    while (mark > 0 && !std::holds_alternative<Mark>(stack_[mark - 1])) --mark;
    if (mark == 0) fail("found no beginning of a list");
    std::vector<Item> items(std::make_move_iterator(stack_.begin() + static_cast<std::ptrdiff_t>(mark)),
                            std::make_move_iterator(stack_.end()));
    stack_.resize(mark - 1);
    return items;
  }
  template <class T>
  T& top_as(const char* what) {
    if (!stack_.empty()) {
      if (auto* value = std::get_if<Value>(&stack_.back())) {
        if (auto* found = std::get_if<std::shared_ptr<T>>(&value->data)) return **found;
      }
    }
    fail(std::string("found another object, expected ") + what);
  }

  void step(std::uint8_t op) {
    switch (op) {
      case 0x80: {  // PROTO
        const std::uint64_t protocol = number(1);
        if (protocol < 2 || protocol > 5) fail("found protocol " + std::to_string(protocol) + ", expected 2 to 5");
        return;
      }
      case 0x95:  // FRAME
        number(8);
        return;
      case '(':
        return push(Mark{});
      case '0':  // POP
        pop();
        return;
      case 'N':
        return push_value(std::monostate());
      case 0x88:  // NEWTRUE
        return push_value(std::int64_t{1});
      case 0x89:  // NEWFALSE
        return push_value(std::int64_t{0});
      case 'J':
        return push_value(std::int64_t{static_cast<std::int32_t>(number(4))});
      case 'K':
        return push_value(static_cast<std::int64_t>(number(1)));
      case 'M':
        return push_value(static_cast<std::int64_t>(number(2)));
      case 0x8a: {  // LONG1
        const std::uint64_t width = number(1);
        if (width > 8) fail("found an integer of " + std::to_string(width) + " bytes, expected at most 8");
        std::uint64_t value = number(static_cast<std::size_t>(width));
        if (width > 0 && width < 8 && (value >> (8 * width - 1) & 1U) != 0) value |= ~std::uint64_t{0} << (8 * width);
        return push_value(static_cast<std::int64_t>(value));
      }
      case 'G': {  // BINFLOAT, big-endian
        std::uint64_t bits = 0;
        for (const std::uint8_t byte : take(8)) bits = bits << 8U | byte;
        return push_value(std::bit_cast<double>(bits));
      }
      case 'X':  // BINUNICODE
        return push_value(text(number(4)));
      case 0x8c:  // SHORT_BINUNICODE
        return push_value(text(number(1)));
      case 0x8d:  // BINUNICODE8
        return push_value(text(number(8)));
      case 'B':  // BINBYTES
      case 'T':  // BINSTRING, Python 2's
        return push(Raw{take(number(4))});
      case 'C':  // SHORT_BINBYTES
      case 'U':  // SHORT_BINSTRING
        return push(Raw{take(number(1))});
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return push(Raw{take(number(8))});
      case '}':
        return push_value(std::make_shared<Dict>());
      case ']':
        return push_value(std::make_shared<List>());
      case ')':
        return push_tuple({});
      case 'a': {  // APPEND
        Value value = pop_value();
        top_as<List>("a list").push_back(std::move(value));
        return;
      }
      case 'e': {  // APPENDS
        std::vector<Item> items = pop_to_mark();
        List& list = top_as<List>("a list");
        for (Item& item : items) list.push_back(as_value(std::move(item)));
        return;
      }
      case 's': {  // SETITEM
        std::vector<Item> items(2);
        items[1] = pop();
        items[0] = pop();
        return set_items(std::move(items));
      }
      case 'u':  // SETITEMS
        return set_items(pop_to_mark());
      case 't':
        return push_tuple(pop_to_mark());
      case 0x85:
      case 0x86:
      case 0x87: {  // TUPLE1 to TUPLE3
        std::vector<Item> items(op - 0x84U);
        for (std::size_t i = items.size(); i-- > 0;) items[i] = pop();
        return push_tuple(std::move(items));
      }
      case 'c': {  // GLOBAL
        const std::string module = line();
        return push(Callable{module + " " + line()});
      }
      case 0x93: {  // STACK_GLOBAL
        const Value name = pop_value(), module = pop_value();
        const auto* module_text = std::get_if<std::string>(&module.data);
        const auto* name_text = std::get_if<std::string>(&name.data);
        if (module_text == nullptr || name_text == nullptr) fail("found a name that is no text");
        return push(Callable{*module_text + " " + *name_text});
      }
      case 'R':
        return reduce();
      case 'b':
        return build();
      case 'q':
        return memoize(number(1));
      case 'r':
        return memoize(number(4));
      case 0x94:  // MEMOIZE
        return memoize(memo_.size());
      case 'h':
        return recall(number(1));
      case 'j':
        return recall(number(4));
      default:
        fail("found opcode " + std::to_string(op) + ", which no published data set needs");
    }
  }

  void set_items(std::vector<Item> items) {
    if (items.size() % 2 != 0) fail("found a key without a value");
    Dict& dict = top_as<Dict>("a dictionary");
    for (std::size_t i = 0; i < items.size(); i += 2) {
      const Value key = as_value(std::move(items[i]));
      const auto* name = std::get_if<std::string>(&key.data);
      if (name == nullptr) fail("found a key that is no text");
      dict.items.emplace_back(*name, as_value(std::move(items[i + 1])));
    }
  }

  void push_tuple(std::vector<Item> items) { push(std::make_shared<const Tuple>(Tuple{std::move(items)})); }
  std::vector<Item> pop_tuple() { return pop_as<std::shared_ptr<const Tuple>>("a tuple")->items; }
  template <class T>
  const T* argument(const std::vector<Item>& items, std::size_t i) const {
    return i < items.size() ? std::get_if<T>(&items[i]) : nullptr;
  }
  const std::string* text_argument(const std::vector<Item>& items, std::size_t i) const {
    const auto* value = argument<Value>(items, i);
    return value != nullptr ? std::get_if<std::string>(&value->data) : nullptr;
  }

  void reduce() {
    const std::vector<Item> arguments = pop_tuple();
    const std::string call = pop_as<Callable>("a callable").name;
    if (call == "_codecs encode") {  // bytes in protocol 2: Latin-1 in UTF-8
      const std::string* characters = text_argument(arguments, 0);
      const std::string* codec = text_argument(arguments, 1);
      if (characters == nullptr || codec == nullptr || *codec != "latin1") fail("found bytes of an unknown encoding");
      auto owned = std::make_shared<std::vector<std::uint8_t>>();
      for (std::size_t i = 0; i < characters->size(); ++i) {
        const auto lead = static_cast<std::uint8_t>((*characters)[i]);
        if (lead < 0x80) {
          owned->push_back(lead);
        } else if ((lead == 0xc2 || lead == 0xc3) && i + 1 < characters->size()) {
          owned->push_back(
              static_cast<std::uint8_t>((lead & 3U) << 6U | (static_cast<std::uint8_t>((*characters)[++i]) & 0x3fU)));
        } else {
          fail("found bytes that are no Latin-1");
        }
      }
      return push(Raw{*owned, owned});
    }
    if (call == "__builtin__ bytes" || call == "builtins bytes") return push(Raw{{}});
    if (call.ends_with(" _reconstruct") && call.starts_with("numpy")) {
      return push_value(std::make_shared<Array>());
    }
    if (call.ends_with(" _frombuffer") && call.starts_with("numpy")) {  // protocol 5
      const std::string* order = text_argument(arguments, 3);
      if (order == nullptr) fail("found an array's state of another form than NumPy's");
      auto array = std::make_shared<Array>();
      fill(*array, argument<std::shared_ptr<const Tuple>>(arguments, 2), argument<Dtype>(arguments, 1), *order == "F",
           argument<Raw>(arguments, 0));
      return push_value(std::move(array));
    }
    if (call == "numpy dtype") {
      const std::string* name = text_argument(arguments, 0);
      const auto* raw = argument<Raw>(arguments, 0);
      if (name == nullptr && raw == nullptr) fail("found an array type without a name");
      return push(Dtype{name != nullptr ? *name : std::string(raw->bytes.begin(), raw->bytes.end())});
    }
    if (call.ends_with(" scalar") && call.starts_with("numpy")) return push_value(scalar(arguments));
    fail("found a call of " + quote(call, 80) + ", expected numbers, text, lists, dictionaries or NumPy arrays");
  }

  // A NumPy scalar: its type and its bytes.
  decltype(Value::data) scalar(const std::vector<Item>& arguments) const {
    const auto* type = argument<Dtype>(arguments, 0);
    const auto* raw = argument<Raw>(arguments, 1);
    if (type == nullptr || raw == nullptr || type->name.size() != 2 || raw->bytes.size() > 8 ||
        raw->bytes.size() != static_cast<std::size_t>(type->name[1] - '0') || raw->bytes.empty()) {
      fail("found a NumPy scalar that is no number");
    }
    std::uint64_t bits = 0;
    std::memcpy(&bits, raw->bytes.data(), raw->bytes.size());
    if (type->name == "f8") return std::bit_cast<double>(bits);
    if (type->name[0] == 'u') return static_cast<std::int64_t>(bits);
    if (type->name[0] == 'i') {
      const auto unused = static_cast<unsigned>(64 - 8 * raw->bytes.size());
      return static_cast<std::int64_t>(bits << unused) >> unused;
    }
    fail("found a NumPy scalar of type " + quote(type->name));
  }

  // The state of an array or a type, as NumPy's __setstate__ takes it.
  void build() {
    const std::vector<Item> state = pop_tuple();
    if (!stack_.empty() && std::holds_alternative<Dtype>(stack_.back())) {
      const auto* order = text_argument(state, 1);
      const auto* raw = argument<Raw>(state, 1);
      const std::string byte_order = order != nullptr ? *order
                                     : raw != nullptr ? std::string(raw->bytes.begin(), raw->bytes.end())
                                                      : "";
      if (byte_order == ">") fail("found numbers in big-endian order, expected little-endian");
      return;
    }
    Array& array = top_as<Array>("an array");
    const auto* fortran = argument<Value>(state, 3);
    if (fortran == nullptr || fortran->integer() == nullptr)
      fail("found an array's state of another form than NumPy's");
    fill(array, argument<std::shared_ptr<const Tuple>>(state, 1), argument<Dtype>(state, 2), *fortran->integer() != 0,
         argument<Raw>(state, 4));
  }

  void fill(Array& array, const std::shared_ptr<const Tuple>* shape, const Dtype* type, bool fortran_order,
            const Raw* raw) const {
    if (shape == nullptr || type == nullptr || raw == nullptr) {
      fail("found an array's state of another form than NumPy's");
    }
    array.dtype = type->name;
    array.fortran_order = fortran_order;
    array.bytes = raw->bytes;
    array.owned = raw->owned;
    array.shape.clear();
    for (std::size_t i = 0; i < (*shape)->items.size(); ++i) {
      const auto* side = argument<Value>((*shape)->items, i);
      if (side == nullptr || side->integer() == nullptr || *side->integer() < 0) {
        fail("found an array's shape that is no number");
      }
      array.shape.push_back(*side->integer());
    }
  }

  void memoize(std::uint64_t place) {
    if (stack_.empty()) fail("found nothing to remember");
    memo_.insert_or_assign(place, stack_.back());
  }
  void recall(std::uint64_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) fail("found a reference to object " + std::to_string(place) + ", which is not there");
    stack_.push_back(found->second);
  }

  Bytes bytes_;
  const std::string& name_;
  std::size_t position_ = 0;
  std::size_t start_ = 0;   // of the opcode at work
  std::size_t copied_ = 0;  // elements of tuples
  std::vector<Item> stack_;
  std::map<std::uint64_t, Item> memo_;
};

}  // namespace

const Value* Dict::find(std::string_view key) const {
  for (const auto& [name, value] : items) {
    if (name == key) return &value;
  }
  return nullptr;
}

Value parse(std::span<const std::uint8_t> bytes, const std::string& name) {
  return Machine(bytes, name).run();
}

}  // namespace flowdarts::pickle
