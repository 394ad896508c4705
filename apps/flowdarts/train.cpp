#include <flowdarts/pipeline/training/train_main.hpp>

int main(int argc, char** argv) {
  return flowdarts::train_main(std::span<const char* const>(argv, static_cast<std::size_t>(argc)));
}
