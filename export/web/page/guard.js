// Says in a sentence why the page cannot begin. In words that old browsers know as well.
(function () {
  function say(sentence) {
    if (document.body.getAttribute("data-error") || document.body.getAttribute("data-ready"))
      return;
    var error = document.getElementById("error");
    error.textContent = sentence;
    error.hidden = false;
    document.getElementById("running").textContent = "";
    document.body.setAttribute("data-error", sentence);
  }

  function onError(event) {
    var script = event.target && event.target.tagName === "SCRIPT";
    if (location.protocol === "file:") {
      say("This page must come from a web server: run python -m http.server in its folder.");
    } else if (script) {
      say("A file of this page cannot be read: copy its folder again.");
    } else if (event.message && event.message.indexOf("SyntaxError") >= 0) {
      say("This browser is too old for this page: use a current one.");
    }
  }

  window.addEventListener("error", onError, true);
  if (!("noModule" in document.createElement("script"))) {
    document.addEventListener("DOMContentLoaded", function () {
      say("This browser is too old for this page: use a current one.");
    });
  }
})();
