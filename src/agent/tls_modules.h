// Where this process's dynamic loader keeps which modules have thread-local storage.
#ifndef STILLFRAME_AGENT_TLS_MODULES_H_
#define STILLFRAME_AGENT_TLS_MODULES_H_

#include "plan/record.h"

namespace stillframe::agent {

// As the C library tells debuggers: it exports the offsets that libthread_db reads in another
// process (glibc, nptl_db/structs.def). {0, 0} with a C library that does not (static programs), or
// that tells of a layout which hits do not read; hits then go by the DTV alone. Asks the loader for
// symbols: agent thread, under LoaderGuard.
TlsModules FindTlsModules();

}  // namespace stillframe::agent

#endif  // STILLFRAME_AGENT_TLS_MODULES_H_
