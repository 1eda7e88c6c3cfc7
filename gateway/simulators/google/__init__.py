"""Google's front ends: errors, query parameters, protobuf JSON, access tokens."""
