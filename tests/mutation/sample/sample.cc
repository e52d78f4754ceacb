// What selftest.py mutates. sample_test.cc looks at Fits and at Count, and at nothing else.

namespace sample {

constexpr bool kNever = false;

bool Fits(int count) { return count < 10; }

int Count(int wanted) {
  int counted = 0;
  while (counted != wanted) ++counted;
  return counted;
}

int Unwatched(int count) { return count + 1000; }

int Dead(int count) {
  if (kNever) count = 7;
  return count;
}

const char* Put(const char* text, int at) { return text + at; }
const char* Skip(const char* text, int at) { return Put(text, at); }

}  // namespace sample
