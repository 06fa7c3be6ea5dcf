// Whether this program was built with a sanitizer, under which large networks take minutes.
#pragma once

namespace kiln::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kWithSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kWithSanitizer = true;
#else
inline constexpr bool kWithSanitizer = false;
#endif
#else
inline constexpr bool kWithSanitizer = false;
#endif

}  // namespace kiln::test
