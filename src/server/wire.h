// Between the wire schema (libprotobuf) and the model. What agents send is hostile: sizes, depths
// and texts are limited and cleaned here.
#ifndef STILLFRAME_SERVER_WIRE_H_
#define STILLFRAME_SERVER_WIRE_H_

#include <string>
#include <string_view>

#include "base/status.h"
#include "model/agent_info.h"

namespace stillframe::server {

// kCorrupt: not such a message, or nested too deep; kOverLimit: too many parts.
Result<model::PollRequest> ParsePollRequest(std::string_view bytes);
Result<model::PublishRequest> ParsePublishRequest(std::string_view bytes);
std::string SerializePollResponse(const model::PollResponse& response);
std::string SerializePublishResponse(const model::PublishResponse& response);

}  // namespace stillframe::server

#endif  // STILLFRAME_SERVER_WIRE_H_
