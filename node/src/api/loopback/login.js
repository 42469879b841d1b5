// Takes the code behind the # to the node, once, and keeps the session that it is exchanged for. What a tab keeps is for
// pages of this very host and port; a cookie would go to every port of the host.
"use strict";

const KEPT = "beadmesh.session";

function say(text) {
  document.getElementById("said").textContent = text;
}

async function ask(method, path, proof) {
  const answer = await fetch(path, { method, headers: { authorization: `Bearer ${proof}` }, cache: "no-store" });
  const body = await answer.json();
  if (!answer.ok) {
    throw new Error(`${body.error.message}; ${body.error.hint}`);
  }
  return body;
}

async function enter() {
  const code = location.hash.slice(1);
  if (code !== "") {
    // Neither the history nor a reload is to show it.
    history.replaceState(null, "", location.pathname);
    sessionStorage.setItem(KEPT, (await ask("POST", "/login", code)).session);
  }
  const session = sessionStorage.getItem(KEPT);
  if (session === null) {
    throw new Error("this tab is not logged in; `beadmesh login` prints an address that lets it in");
  }
  say(JSON.stringify(await ask("GET", "/v1/status", session), null, 2));
}

enter().catch((error) => say(error.message));
