// Whether large blocks of `new` come straight from the system (large_blocks.cc).
#ifndef STILLFRAME_AGENT_LARGE_BLOCKS_H_
#define STILLFRAME_AGENT_LARGE_BLOCKS_H_

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STILLFRAME_SANITIZED
#endif
#endif
// Sanitizers bring a `new` of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(STILLFRAME_SANITIZED)
#define STILLFRAME_LARGE_BLOCKS
#endif

#endif  // STILLFRAME_AGENT_LARGE_BLOCKS_H_
