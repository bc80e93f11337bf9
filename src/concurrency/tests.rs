mod adaptive;
mod gate;
