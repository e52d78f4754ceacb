document.body.textContent = "Assent";
