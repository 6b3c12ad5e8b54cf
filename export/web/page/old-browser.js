// For browsers that know no modules; so in their words.
document.addEventListener("DOMContentLoaded", function () {
  var sentence = "This browser is too old for this page: use a current one.";
  var error = document.getElementById("error");
  error.textContent = sentence;
  error.hidden = false;
  document.body.setAttribute("data-error", sentence);
});
