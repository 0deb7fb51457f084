// A small module with one of everything that debug information describes, without the standard
// library: a few kilobytes that a fuzzer can take apart quickly.
namespace shop {

enum class Tier : unsigned char { kBasic, kGold };

union Price {
  long cents;
  double amount;
};

struct Item {
  const char* name;
  int quantity : 12;
  unsigned flags : 3;
  Price price;
  Item* next;
};

struct Base {
  virtual ~Base();
  virtual long Total() const;
  int id = 1;
};

template <typename T, int N>
struct Ring {
  T values[N];
  int count;
  T& operator[](int i) { return values[i % N]; }
};

struct Cart : virtual Base {
  ~Cart() override;
  long Total() const override;
  Ring<Item, 3> items;
  Tier tier = Tier::kGold;
  long (Base::*method)() const = &Base::Total;
  int Base::*field = &Base::id;
  struct Hidden;
  Hidden* hidden = nullptr;
};

thread_local int visits;
static const double kRates[2][2] = {{0.1, 0.2}, {0.3, 0.4}};
void Outside(const void*, long, double);

Base::~Base() { Outside(this, 0, 0); }
long Base::Total() const { return id; }
Cart::~Cart() {}

static inline __attribute__((always_inline)) long Sum(const Item* item, long count) {
  long sum = 0;
  for (; item != nullptr && count > 0; item = item->next, --count) {
    const long part = item->price.cents * item->quantity;
    sum += part;
  }
  return sum;
}

long Cart::Total() const {
  const auto rate = kRates[static_cast<int>(tier)][id & 1];
  const auto scale = [&](long value) {
    return static_cast<long>(static_cast<double>(value) * rate);
  };
  const long sum = Sum(&items.values[0], items.count);
  Outside(this, sum, rate);
  return scale(sum) + (this->*method)() + this->*field;
}

long Checkout(Cart& order, int count, ...) {
  long total = order.Total() + visits++;
  char text[16] = {};
  for (int i = 0; i < count; ++i) {
    text[i & 15] = static_cast<char>(i);
    total += Sum(&order.items[i], 3);
    Outside(text, total, kRates[0][0]);
  }
  return total;
}

}  // namespace shop

extern "C" long Entry(long number, const double* values) {
  shop::Cart order;
  const long result = shop::Checkout(order, static_cast<int>(number));
  shop::Outside(values, result, values[number & 3]);
  return result;
}
