// The page at "/": self-contained (no foreign hosts), light and dark, refreshed once a second while it is visible.
#pragma once

#include <string_view>

namespace swage {

inline constexpr std::string_view kGatewayPage = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Swage</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --line: #ccc; --dim: #595959; --bar: #0b57d0; --bad: #b3261e; --good: #146c2e; }
@media (prefers-color-scheme: dark) {
  :root { --line: #444; --dim: #b0b0b0; --bar: #8ab4f8; --bad: #f2b8b5; --good: #81c995; }
}
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--dim); font-weight: 600; } .num { text-align: right; font-variant-numeric: tabular-nums; }
code { font-size: .9em; } progress { width: 9rem; accent-color: var(--bar); }
.FAILED { color: var(--bad); } .SUCCEEDED { color: var(--good); } .dim { color: var(--dim); }
</style></head><body>
<main>
<h1>Swage</h1><p id="state" class="dim" role="status">loading</p>
<h2>Jobs</h2><div class="scroll" tabindex="0"><table><thead><tr><th scope="col">job</th><th scope="col">model</th>
<th scope="col">state</th><th scope="col">progress</th><th scope="col">about it</th></tr></thead><tbody id="jobs"></tbody></table></div>
<h2>Artifacts</h2><div class="scroll" tabindex="0"><table><thead><tr><th scope="col">artifact</th><th scope="col">names</th>
<th scope="col" class="num">bytes</th><th scope="col" class="num">stored</th></tr></thead><tbody id="artifacts"></tbody></table></div>
</main>
<script>
"use strict";
const query = location.search;
const element = (name, text, className) => {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
};
const size = n => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = Number(n || 0), unit = 0;
  while (value >= 1000 && unit < units.length - 1) { value /= 1000; ++unit; }
  return value.toFixed(unit ? 1 : 0) + " " + units[unit];
};
const jobRow = job => {
  const row = element("tr"), progress = job.progress || {};
  const state = job.state || "QUEUED";
  const id = element("td"); id.append(element("code", job.name));
  const bar = element("td");
  if (["STARTING", "RUNNING", "FINALIZING"].includes(state)) {
    const meter = element("progress");
    meter.max = 1; meter.value = progress.fraction || 0;
    meter.setAttribute("aria-label", "progress of " + job.name);
    bar.append(meter, " ", progress.stage || "");
    if (progress.eta_seconds > 0) bar.append(", " + Math.ceil(progress.eta_seconds) + " s left");
  }
  row.append(id, element("td", (job.spec || {}).model || ""), element("td", state, state), bar,
             element("td", job.pending_reason || job.message || job.artifact_alias || ""));
  return row;
};
const artifactRow = artifact => {
  const row = element("tr"), id = element("td");
  id.append(element("code", artifact.id.slice(0, 12)));
  row.append(id, element("td", (artifact.aliases || []).join(", ")), element("td", size(artifact.total_bytes), "num"),
             element("td", size(artifact.stored_bytes), "num"));
  return row;
};
const load = async path => {
  const answer = await fetch(path + query);
  if (!answer.ok) throw new Error(path + ": " + answer.status + " " + await answer.text());
  return answer.json();
};
const refresh = async () => {
  if (document.hidden) return;
  const state = document.getElementById("state");
  try {
    const [jobs, artifacts] = await Promise.all([load("/api/v1/jobs"), load("/api/v1/artifacts")]);
    const list = jobs.jobs || [];
    document.getElementById("jobs").replaceChildren(...list.map(jobRow));
    document.getElementById("artifacts").replaceChildren(...(artifacts.artifacts || []).map(artifactRow));
    const count = name => list.filter(job => (job.state || "QUEUED") === name).length;
    state.textContent = count("RUNNING") + " running, " + count("QUEUED") + " waiting, " +
        count("SUCCEEDED") + " done, " + count("FAILED") + " failed";
  } catch (error) { state.textContent = "not reachable: " + error.message; }
};
refresh();
setInterval(refresh, 1000);
</script>
</body></html>
)html";

}  // namespace swage
