// What becomes of several processes when one of them ends badly: started by mpirun with the name of a case.

#include <signal.h>

#include <chrono>
#include <flowdarts/spaces/support/error.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <iostream>
#include <string_view>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  using namespace flowdarts;
  const std::string_view what = argc > 1 ? argv[1] : "";
  const int culprit = argc > 2 ? std::stoi(argv[2]) : 1;
  const std::unique_ptr<Ranks> ranks = open_ranks("ranks_program", {.lag = 2});
  const std::shared_ptr<Communicator> communicator = ranks->open();
  std::vector<double> values{1};
  communicator->add_up(std::span<double>(values));
  if (ranks->rank() == culprit) {
    if (what == "fails") {
      try {
        throw InputError("--epochs: found 0,\nexpected more");
      } catch (...) {
        fail(*ranks, std::current_exception());
      }
    }
    if (what == "is killed") ::raise(SIGKILL);
    if (what == "lags") std::this_thread::sleep_for(std::chrono::seconds(6));
    if (what == "tells") ranks->tell("a line");
  }
  communicator->add_up(std::span<double>(values));
  if (what == "tells") std::this_thread::sleep_for(std::chrono::milliseconds(300));
  if (ranks->writes()) std::cout << "sum " << values[0] << std::endl;
}
