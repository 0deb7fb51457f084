# stillframe_private_curl: libcurl, OpenSSL, zlib and zstd as static, hidden parts of libstillframe.so.
# src/transport/unused/unused_backends.c says why the protocols that we never speak are cut off.
find_library(CURL_STATIC libcurl.a REQUIRED)
find_library(SSL_STATIC libssl.a REQUIRED)
find_library(CRYPTO_STATIC libcrypto.a REQUIRED)
find_library(ZLIB_STATIC libz.a REQUIRED)
find_library(ZSTD_STATIC libzstd.a REQUIRED)
add_library(stillframe_unused_backends STATIC
            ${CMAKE_SOURCE_DIR}/src/transport/unused/unused_backends.c)
target_compile_options(stillframe_unused_backends PRIVATE -fno-builtin -w)
add_library(stillframe_private_curl INTERFACE)
target_link_libraries(stillframe_private_curl INTERFACE ${CURL_STATIC} stillframe_unused_backends
                      ${SSL_STATIC} ${CRYPTO_STATIC} ${ZLIB_STATIC} ${ZSTD_STATIC} Threads::Threads
                      ${CMAKE_DL_LIBS})
# libcurl's wake-up pair is made without close-on-exec: see __wrap_socketpair.
target_link_options(stillframe_private_curl INTERFACE -Wl,--wrap=socketpair)
