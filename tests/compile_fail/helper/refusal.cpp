// A refusal as flowdarts makes them: the helper finds its message, and the same file compiles without the mistake.

#include <flowdarts/spaces/support/random.hpp>

#ifdef FLOWDARTS_EXPECT_OK
constexpr bool fits = true;
#else
constexpr bool fits = false;
#endif

static_assert(fits, "flowdarts: 'these two' do not fit together; take one");
