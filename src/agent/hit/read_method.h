// Choice of the way that target memory is read. Agent thread; not for hits.
#ifndef STILLFRAME_AGENT_HIT_READ_METHOD_H_
#define STILLFRAME_AGENT_HIT_READ_METHOD_H_

#include "base/status.h"

namespace stillframe::hit {

// Tries each way on memory of our own, readable and not, and keeps the first that is right. OK also
// when none is: then hits unwind nothing and copy registers only (ReadMethod::kNone). kIoError when
// the test itself cannot be made. Does nothing when a way was found before.
Status ChooseReadMethod();

}  // namespace stillframe::hit

#endif  // STILLFRAME_AGENT_HIT_READ_METHOD_H_
