"""RoutePolicies as a whole, and their names."""

from __future__ import annotations

from tests.crds.cases.case import RP, SECRET, Case, cloud, policy

_MODEL_NAME = (
    "metadata.name must be at most 52 characters of a-z, 0-9 and -, beginning with a letter: Services take it as their "
    "name (spec.model may hold any name)"
)
_POLICY_NAME = _MODEL_NAME.removesuffix(" (spec.model may hold any name)")

POLICIES = [
    Case("house first", RP, policy()),
    Case("everything", RP, policy(
        cloud(provider="openAICompatible", baseURL="https://gateway.corp/v1", caSecretRef=SECRET,
              proxy={"url": "http://proxy.corp:3128", "credentialsSecretRef": SECRET}),
        routes=[{
            "name": "hard",
            "match": {"models": ["a", "team-*"], "maxInputTokens": 6000, "headers": [{"name": "x-a", "value": ""}]},
            "tiers": [{"backends": [{"name": "frontier", "weight": 3}, {"name": "house", "weight": 0}]}],
            "failover": {"firstTokenSeconds": 15, "stallSeconds": 10, "totalSeconds": 600, "maxAttempts": 4},
        }],
        router={
            "replicas": 3, "image": "registry.corp/genset:1", "resources": {"cpu": 1, "memory": "512Mi"},
            "limits": {"maxBody": "64Mi", "maxInFlight": 10, "maxQueued": 0, "queueSeconds": 5},
            "service": {"type": "LoadBalancer", "annotations": {"lb": "internal"}}, "drainSeconds": 30,
            "allowedClients": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}],
            "telemetry": {"otlpEndpoint": "https://collector.observability.svc:4318/otlp", "samplePercent": 0},
            "cors": {"allowedOrigins": ["https://chat.example.org", "http://localhost:3000", "app://obsidian.md"]},
            "trustedProxies": ["10.0.0.0/8", "fd00::/8", "192.0.2.7/32"], "log": {"required": True},
        },
    )),
    Case("what leaves is written down", RP, policy(egress={"record": "Required"})),
    Case("a record of no known kind", RP, policy(egress={"record": "Always"}),
         'Unsupported value: "Always": supported values: "BestEffort", "Required"', "Input should be 'BestEffort' or 'Required'"),
    Case("everything outside by one proxy", RP, policy(egress={"proxy": {"url": "http://proxy.corp:3128"}})),
    Case("a record, and a proxy with a password", RP, policy(
        egress={"record": "BestEffort", "proxy": {"url": "http://10.0.0.9:3128", "credentialsSecretRef": SECRET}})),
    Case("an egress that says nothing", RP, policy(egress={}), "egress is empty: name record, proxy or both"),
    Case("a way out that is no proxy", RP, policy(egress={"proxy": {"url": "https://proxy.corp:3128"}}),
         "spec.egress.proxy.url in body should match", "String should match pattern"),
    Case("a way out without a port that there is", RP, policy(egress={"proxy": {"url": "http://proxy.corp:99999"}}),
         "proxy.url names no server"),
    Case("every loss has to be survived", RP, policy(continuity={"required": True})),
    Case("survival that is neither wanted nor not", RP, policy(continuity={"required": "perhaps"}),
         'spec.continuity.required in body must be of type boolean: "string"', "Input should be a valid boolean"),
    Case("drills", RP, policy(drills=[
        {"name": "cloud", "take": {"side": "Cloud"}, "schedule": "0 10 * * 1", "timeZone": "Europe/Berlin"},
        {"name": "account", "take": {"provider": "openai"}, "fault": "Suspended", "forSeconds": 60, "maxAgeDays": 7},
        {"name": "one", "take": {"backend": "house"}, "probes": {"perSecond": 5, "prompt": "How are you?"},
         "objective": {"rtoSeconds": 3, "lost": 1}},
    ])),
    Case("a live drill", RP, policy(continuity={"allowLiveDrills": True}, drills=[
        {"name": "a", "take": {"side": "House"}, "impact": "Live", "share": 10, "stopWhen": {"lost": 3, "errorRate": 20}}])),
    Case("a live drill that nobody has allowed", RP, policy(drills=[
        {"name": "a", "take": {"side": "House"}, "impact": "Live"}]),
         "drills: impact Live takes real requests along: set continuity.allowLiveDrills, or leave impact out"),
    Case("a live drill that is forbidden", RP, policy(continuity={"allowLiveDrills": False}, drills=[
        {"name": "a", "take": {"side": "House"}, "impact": "Live"}]),
         "drills: impact Live takes real requests along: set continuity.allowLiveDrills, or leave impact out"),
    Case("a share of a drill that is not live", RP, policy(drills=[
        {"name": "a", "take": {"side": "House"}, "impact": "Probes", "share": 10}]),
         "drills: share and stopWhen are those of impact Live: set it, or remove them"),
    Case("what stops a drill that is not live", RP, policy(drills=[
        {"name": "a", "take": {"side": "House"}, "stopWhen": {"lost": 3}}]),
         "drills: share and stopWhen are those of impact Live: set it, or remove them"),
    Case("a live drill of more than everything", RP, policy(continuity={"allowLiveDrills": True}, drills=[
        {"name": "a", "take": {"side": "House"}, "impact": "Live", "share": 101}]), "share"),
    Case("a drill that takes two things", RP, policy(drills=[{"name": "a", "take": {"side": "Cloud", "backend": "house"}}]),
         "drills: take names exactly one of side, provider and backend"),
    Case("a drill that takes nothing", RP, policy(drills=[{"name": "a", "take": {}}]),
         "drills: take names exactly one of side, provider and backend"),
    Case("a drill that takes what is not there", RP, policy(drills=[{"name": "a", "take": {"backend": "other"}}]),
         "drills: take.backend must be one of spec.backends: correct the name, or add the backend"),
    Case("a drill with a time zone and no time", RP, policy(drills=[
        {"name": "a", "take": {"side": "House"}, "timeZone": "Europe/Berlin"}]),
         "drills: timeZone is that of schedule: give one, or remove it"),
    Case("a drill with a fault that nobody knows", RP, policy(drills=[
        {"name": "a", "take": {"side": "House"}, "fault": "Fire"}]),
         'Unsupported value: "Fire"', "Input should be 'Refused'"),
    Case("the longest name", RP, policy(), name="p" * 52),
    Case("a name that is too long", RP, policy(), _POLICY_NAME, name="p" * 53),
    Case("a name with a dot", RP, policy(), _POLICY_NAME, name="v1.assistant"),
]  # fmt: skip
