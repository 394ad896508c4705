#pragma once
// The one place the version is written; CMake reads it from here.

#define FLOWDARTS_VERSION_MAJOR 0
#define FLOWDARTS_VERSION_MINOR 1
#define FLOWDARTS_VERSION_PATCH 0

namespace flowdarts {
inline constexpr int version_major = FLOWDARTS_VERSION_MAJOR;
inline constexpr int version_minor = FLOWDARTS_VERSION_MINOR;
inline constexpr int version_patch = FLOWDARTS_VERSION_PATCH;
#define FLOWDARTS_TEXT_(x) #x
#define FLOWDARTS_TEXT(x) FLOWDARTS_TEXT_(x)
inline constexpr const char* version_text = FLOWDARTS_TEXT(FLOWDARTS_VERSION_MAJOR) "." FLOWDARTS_TEXT(
    FLOWDARTS_VERSION_MINOR) "." FLOWDARTS_TEXT(FLOWDARTS_VERSION_PATCH);
#undef FLOWDARTS_TEXT
#undef FLOWDARTS_TEXT_
}  // namespace flowdarts
