namespace sample {
bool Fits(int count);
int Count(int wanted);
}  // namespace sample

int main() {
  const bool good = sample::Fits(9) && !sample::Fits(10) && sample::Count(3) == 3;
  return good ? 0 : 1;
}
