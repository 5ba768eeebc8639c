// Questions to the server, and the token that orders need.

const TIMEOUT_MS = 20000;

// The token comes behind the # of the printed address; it is kept for this tab, and taken out of the address.
export function takeToken() {
  const match = /^#token=([^&]+)$/.exec(location.hash);
  if (match) {
    sessionStorage.setItem("edgeray-token", decodeURIComponent(match[1]));
    history.replaceState(null, "", `${location.pathname}#/overview`);
  }
}

export const token = () => sessionStorage.getItem("edgeray-token");

export async function ask(path, parameters = {}, options = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of [value].flat()) query.append(name, one);
  }
  const signal = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const answer = await fetch(`${path}?${query}`, { signal, method: options.method ?? "GET", headers: options.headers ?? {} });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(typeof body.detail === "string" ? body.detail : `the server answered ${answer.status}`);
  return body;
}

export const stopJob = (job) =>
  ask(`/api/jobs/${job.split("/").map(encodeURIComponent).join("/")}/stop`, {}, {
    method: "POST",
    headers: { Authorization: `Bearer ${token() ?? ""}` },
  });
