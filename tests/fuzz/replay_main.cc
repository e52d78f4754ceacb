// The ordinary build's driver of a fuzz target: no libFuzzer, no clang. Runs the target over every
// file of its corpus and over a few seeded mutations of each, so that what fuzzing once found stays
// found.
//
//   fuzz-TARGET FOLDER|FILE... [--mutations N]

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <assent/random.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

void Run(const std::string& bytes) {
  // A copy of exactly this size on the heap, so that a sanitizer sees the first byte beyond it.
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

// Flips, overwrites, removes, repeats or cuts, once to four times.
std::string Mutated(std::string bytes, assent::SplitMix64& draw) {
  for (std::size_t n = 1 + draw.Below(4); n > 0 && !bytes.empty(); --n) {
    const std::size_t at = draw.Below(bytes.size());
    const std::size_t length = 1 + draw.Below(std::min<std::size_t>(bytes.size() - at, 16));
    switch (draw.Below(5)) {
      case 0: bytes[at] = static_cast<char>(bytes[at] ^ (1 << draw.Below(8))); break;
      case 1: bytes[at] = static_cast<char>(draw.Below(256)); break;
      case 2: bytes.erase(at, length); break;
      case 3: bytes.insert(at, bytes.substr(at, length)); break;
      case 4: bytes.resize(at); break;
    }
  }
  return bytes;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t mutations = 8;
  std::vector<std::filesystem::path> files;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--mutations" && i + 1 < argc) {
      mutations = std::strtoul(argv[++i], nullptr, 10);
    } else if (std::filesystem::is_directory(argument)) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argument))
        if (entry.is_regular_file()) files.push_back(entry.path());
    } else if (std::filesystem::is_regular_file(argument)) {
      files.emplace_back(argument);
    } else {
      std::fprintf(stderr, "%s: no such file or folder: %s\n", argv[0], argv[i]);
      return 2;
    }
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) {
    std::fprintf(stderr, "%s: the corpus is empty: nothing would be tested\n", argv[0]);
    return 1;
  }
  Run("");
  std::uint64_t runs = 1;
  for (std::size_t i = 0; i < files.size(); ++i) {
    // Named before it runs: when it dies, the last line says of what.
    std::printf("%s\n", files[i].filename().c_str());
    std::fflush(stdout);
    const std::string bytes = ReadFile(files[i]);
    Run(bytes);
    assent::SplitMix64 draw(i + 1);
    for (std::size_t n = 0; n < mutations; ++n) Run(Mutated(bytes, draw));
    runs += 1 + mutations;
  }
  std::printf("%zu files, %llu runs\n", files.size(), static_cast<unsigned long long>(runs));
  return 0;
}
