-- Health of ModelDeployment and RoutePolicy for Argo CD (argocd-cm: resource.customizations.health.genset.dev_<Kind>).
-- Follows kstatus: an old observedGeneration or no status is progress; what fails now is Degraded, with our own words.

-- Reasons under which waiting is right: nothing is wrong, or a cluster autoscaler or a retry may mend it.
local waits = {
  Downloading = true, WaitingForVolume = true, SourceUnreachable = true, DownloadFailed = true,
  Starting = true, RollingOut = true, ReplicasMissing = true, Unschedulable = true,
  Pending = true, RouterUnreachable = true, NoRouters = true, ScaledToZero = true, AtRest = true,
  NamespaceTerminating = true,
}

local function health(status, message)
  return { status = status, message = message }
end

local function told(condition)
  local message = condition.message or ""
  if message == "" then
    return condition.reason or ""
  end
  return (condition.reason or "") .. ": " .. message
end

local status = obj.status
if status == nil or status.conditions == nil then
  return health("Progressing", "The operator has not seen this resource yet")
end
local generation = obj.metadata.generation or 0
if (status.observedGeneration or 0) < generation then
  return health("Progressing", "The operator has not seen generation " .. string.format("%d", generation) .. " yet")
end

local ready, waiting, failing
for _, condition in ipairs(status.conditions) do
  if condition.type == "Stalled" and condition.status == "True" then
    return health("Degraded", told(condition))
  end
  if condition.type == "Ready" then
    ready = condition
  end
  if condition.status == "False" then
    -- The first condition that is not true is the cause of the later ones.
    if waits[condition.reason] then
      waiting = waiting or condition
    else
      failing = failing or condition
    end
  end
end

-- What rests by intent, at zero replicas, is Ready too.
if ready ~= nil and ready.status == "True" then
  return health("Healthy", ready.message or "")
end
if failing ~= nil then
  return health("Degraded", told(failing))
end
if ready == nil then
  return health("Progressing", "The operator has not judged this resource yet")
end
return health("Progressing", told(waiting or ready))
