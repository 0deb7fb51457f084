#include "agent/loader_guard.h"

#include <pthread.h>

namespace stillframe::agent {
namespace {
pthread_mutex_t g_mutex = PTHREAD_MUTEX_INITIALIZER;  // no destructor: used until the last moment
}

void LoaderGuard::Lock() { pthread_mutex_lock(&g_mutex); }
void LoaderGuard::Unlock() { pthread_mutex_unlock(&g_mutex); }

}  // namespace stillframe::agent
