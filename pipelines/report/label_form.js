"use strict";
const formula = /^[\s\u0000-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\t\r]/;
const number = /^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$/;
function guard(text) {  // a spreadsheet would take it for a formula; --read takes the ' away again
  const bare = text.replace(/^'+/, "");
  return formula.test(bare) && !number.test(bare) ? "'" + text : text;
}
const cell = text => '"' + guard(text).replaceAll('"', '""') + '"';
function given() {
  const lines = [];
  for (const card of document.querySelectorAll(".card")) {
    const written = card.querySelector("input[type=text]").value.trim();
    const chosen = card.querySelector("input[type=radio]:checked");
    const label = written || (chosen ? JSON.parse(chosen.dataset.answer) : "");
    if (label) lines.push(card.dataset.key + "," + cell(label));
  }
  return lines;
}
document.getElementById("labels").addEventListener("input", () => {
  document.getElementById("count").textContent = given().length + " of " + document.querySelectorAll(".card").length;
});
for (const card of document.querySelectorAll(".card"))
  for (const radio of card.querySelectorAll("input[type=radio]"))
    radio.addEventListener("change", () => {
      for (const other of card.querySelectorAll("input[type=radio]")) if (other !== radio) other.checked = false;
    });
document.getElementById("save").addEventListener("click", () => {
  const text = "video_id,clip_index,question_hash,label\r\n" + given().join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
});
