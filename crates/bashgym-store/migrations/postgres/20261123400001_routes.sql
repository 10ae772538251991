-- Which model answered which call, and why.
CREATE TABLE route_decisions (
    id TEXT COLLATE "C" PRIMARY KEY NOT NULL,          -- UUID version 7, so that names sort by time
    at_us BIGINT NOT NULL,                -- when it was made: microseconds since 1970, UTC
    judged BIGINT NOT NULL,               -- 1 once somebody said whether the answer was right
    record TEXT NOT NULL,                  -- JSON, without any text of the conversation
    exchange TEXT                          -- JSON: what was said, where that is kept
);

CREATE INDEX route_decisions_judged ON route_decisions (judged, id);

-- Small things about models: what their confidence is worth, their share of requests.
CREATE TABLE route_notes (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    note TEXT NOT NULL                     -- JSON
);
