//! The sample sessions, as they are in `fixtures/sessions`: made up by a program, of people and projects that are not.

/// A sample: its path below the folder of samples, and its content.
pub(super) struct Sample {
    pub(super) path: &'static str,
    pub(super) content: &'static [u8],
}

macro_rules! samples {
    ($($path:literal,)*) => {
        &[$(Sample {
            path: $path,
            content: include_bytes!(concat!("../../../../fixtures/sessions/", $path)),
        },)*]
    };
}

/// Every sample session. A test holds the list against the folder.
pub(super) const SAMPLES: &[Sample] = samples![
    "claude/projects/-home-dev-gridlock/05be0a1d-d962-46fb-9d7c-362a5b5cb3e5.jsonl",
    "claude/projects/-home-dev-gridlock/68b1918e-ac58-48e8-a52a-d52d2a1b9059.jsonl",
    "claude/projects/-home-dev-gridlock/8b150bb9-f4cc-466f-93e6-93a985cf00e5.jsonl",
    "claude/projects/-home-dev-harbor/2bed20ce-8e91-43fe-9ec6-d0003dd25972.jsonl",
    "claude/projects/-home-dev-harbor/9d2d90dc-c735-4c6d-9139-b06105275b5f.jsonl",
    "claude/projects/-home-dev-harbor/b6dccff9-1033-4937-8552-9dd15c5b7313.jsonl",
    "claude/projects/-home-dev-linkpond/2272f0eb-6c29-4eec-92a0-959ca574acfc.jsonl",
    "claude/projects/-home-dev-linkpond/69a08ca6-1ea3-40a0-bb3e-c9cf088adfae.jsonl",
    "claude/projects/-home-dev-linkpond/ffff319f-f8ed-403a-a62e-c2fdfaaa15f0.jsonl",
    "claude/projects/-home-dev-margin/2c38f23f-2352-4bfd-a4e1-4750dc063183.jsonl",
    "claude/projects/-home-dev-margin/2c38f23f-2352-4bfd-a4e1-4750dc063183/subagents/agent-6789c079.jsonl",
    "claude/projects/-home-dev-margin/ca705ecf-4e65-4310-ab45-77d27dcd1658.jsonl",
    "claude/projects/-home-dev-margin/ca705ecf-4e65-4310-ab45-77d27dcd1658/subagents/agent-029d33dc.jsonl",
    "claude/projects/-home-dev-skyline/1ba4d396-da2a-4471-aa4f-455707f4db56.jsonl",
    "claude/projects/-home-dev-skyline/3fab4251-4159-4804-adb6-5dd63caca1cc.jsonl",
    "claude/projects/-home-dev-skyline/e8c42c2a-cbdd-448e-b706-0717ba939fe0.jsonl",
    "claude/projects/-home-dev-tally/37f1c9ec-d794-44eb-86c1-f7db72580bd9.jsonl",
    "claude/projects/-home-dev-tally/cf034e6c-3e81-4e48-a922-e857c564d371.jsonl",
    "claude/projects/-home-dev-tally/e76995d8-6104-452a-948b-856d59b7cb2d.jsonl",
    "codex/sessions/2026/03/25/rollout-2026-03-25T03-13-00-8b77a7a1-1eb9-43dc-a99d-9c3cbc670b77.jsonl",
    "codex/sessions/2026/03/26/rollout-2026-03-26T05-16-00-41b0301e-34b4-4cff-b242-70a1278d9d3f.jsonl",
    "codex/sessions/2026/03/27/rollout-2026-03-27T19-31-00-fe1f02fd-3687-468a-9239-cfb79edcd1fb.jsonl",
    "codex/sessions/2026/03/30/rollout-2026-03-30T02-34-00-96c16768-772c-46aa-89d6-879b8df0d201.jsonl",
    "codex/sessions/2026/03/31/rollout-2026-03-31T17-46-00-d024b3a5-19e2-4352-8568-9d85917134b7.jsonl",
    "codex/sessions/2026/04/02/rollout-2026-04-02T21-40-00-0e6eb1d4-5c51-45b5-b83b-752f3ca1e751.jsonl",
    "codex/sessions/2026/04/04/rollout-2026-04-04T15-48-00-80edf852-3c0e-4071-8315-1616af013e64.jsonl",
    "codex/sessions/2026/04/06/rollout-2026-04-06T11-47-00-197a51f7-098f-4f28-ab46-08cc5276a84c.jsonl",
    "codex/sessions/2026/04/07/rollout-2026-04-07T23-56-00-b445bee3-5384-48b9-b7cc-2fa2c94b4d73.jsonl",
    "codex/sessions/2026/04/09/rollout-2026-04-09T19-42-00-4562241e-7303-4210-9c4a-58733699daea.jsonl",
    "codex/sessions/2026/04/11/rollout-2026-04-11T21-44-00-9584e4f2-624f-49b1-8580-04289893f626.jsonl",
];
