#pragma once
// Any search behind one plain function, so that the laws are written and compiled once.

#include <cstdint>
#include <flowdarts/stages/load/fingerprint.hpp>
#include <flowdarts/stages/ranks/ranks.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace flowdarts::testing {

/// Counts the forward passes of the supernets there are, remembers what they got of alpha and masks, and raises SIGTERM
/// in one of them.
struct PassCounter {
  static constexpr std::size_t never = std::numeric_limits<std::size_t>::max();
  static inline Fingerprint op_weights;
  static inline std::size_t passes = 0;
  static inline std::size_t interrupt_at = never;
};

/// How to run a search.
struct LawRun {
  std::string data;  ///< a CIFAR-10 directory
  std::string out;
  std::int64_t epochs = 4;
  std::int64_t loader_threads = 2;
  std::int64_t measure_every = -1;  ///< -1: as the policy has it
  bool resume = false;
  std::size_t interrupt_at = PassCounter::never;
  bool sync_bn = false;
  std::shared_ptr<Ranks> ranks = std::make_shared<Ranks>();  ///< who search together
};

struct LawOutcome {
  bool finished = false;
  int signal = 0;
  std::string genotype;
  std::size_t passes = 0;
  std::uint64_t op_weights = 0;  ///< of all passes
};

/// By matrix of the supernet, row-major: 1 where an op is there.
using LawOps = std::vector<std::vector<int>>;

/// What is true of a method beyond the laws of all.
struct LawTraits {
  bool narrows = false;           ///< takes ops out
  bool to_genotype = false;       ///< until those of the genotype are all that is left
  int left_of_row = 0;            ///< until every row has so many; 0: there is no such number
  bool measures = false;          ///< for the record alone, where asked to
  std::size_t interruptions = 7;  ///< tried, each a search and its resumption
  bool slow = false;              ///< runs once: what follows from running again, other cases of its space show
};

struct LawCase {
  std::string name;
  LawTraits traits;
  std::function<LawOutcome(const LawRun&)> run;
  std::function<std::string(const std::string& genotype)> reread;  ///< as text, from its text
  std::function<LawOps(const std::string& genotype)> ops_of;       ///< of the matrices in which ops compete
  std::vector<std::int64_t> columns;                               ///< of these
};

/// The cases of the space a test program is for.
std::vector<LawCase> law_cases();

}  // namespace flowdarts::testing
